package plan

import (
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// PicturePolicy says how the pictures of one source are treated.
type PicturePolicy struct {
	Source string
	// Always puts the source's picture back over one that somebody set in Mattermost.
	// Without it, that one stays until the source's own changes.
	Always bool
}

// alwaysPictures tells whether a source's picture is put back over another.
func (p Policy) alwaysPictures(source string) bool {
	return slices.Contains(p.Pictures, PicturePolicy{Source: source, Always: true})
}

// pictureDiff compares the source's picture with what was uploaded last: the account
// shows when its picture was set, and not which one it is. next is the login service that
// the account will have by then. drift is true if the op puts
// the source's picture back over one that somebody set in Mattermost.
func pictureDiff(o Observation, p Policy, next string) (op *Op, note *Note, drift bool) {
	want, was := o.Desired.Picture, o.Link.Applied
	if want.Fault != "" {
		return nil, &Note{Field: FieldPicture, Reason: PictureUnusable, Detail: clean(want.Fault), From: was.Picture}, false
	}
	if want.Hash == "" || o.Facts.NoPictures {
		return nil, nil, false
	}
	always := p.alwaysPictures(o.Key.Source)
	own := o.Linked.PictureAt > 0 // somebody set it, and be it mmsync
	switch c := (Change{Field: FieldPicture, From: was.Picture, To: want.Hash}); {
	case want.Hash == was.Picture && !(always && was.PictureAt > 0 && o.Linked.PictureAt != was.PictureAt):
		return nil, nil, false
	case want.Hash == was.PictureRefused:
		return nil, &Note{Field: FieldPicture, Reason: PictureRefused, Detail: "picture: Mattermost did not take this one", From: was.Picture, To: want.Hash}, false
	case o.Facts.keepsPicture(next):
		return nil, &Note{Field: FieldPicture, Reason: LockedByLogin, Detail: "picture is owned by " + next + " on the server", From: was.Picture, To: want.Hash}, false
	case was.Picture == "" && own && !always:
		return &Op{Kind: NotePicture, Changes: []Change{c}}, nil, false
	default:
		return &Op{Kind: SetPicture, Changes: []Change{c}}, nil, want.Hash == was.Picture
	}
}

// keepsPicture tells whether the server takes the pictures of a login service's accounts
// from its directory.
func (f *Facts) keepsPicture(service string) bool {
	return f.PictureOfLDAP && service == ldapService || f.PictureOfSAML && service == samlService
}

// newPicture is what is done about the picture of somebody who gets an account.
func newPicture(want *identity.Identity, f *Facts) (op *Op, note *Note) {
	switch {
	case want.Picture.Fault != "":
		return nil, &Note{Field: FieldPicture, Reason: PictureUnusable, Detail: clean(want.Picture.Fault)}
	case want.Picture.Hash == "" || f.NoPictures || f.keepsPicture(want.Auth.Service):
		return nil, nil
	}
	return &Op{Kind: SetPicture, Changes: []Change{{Field: FieldPicture, To: want.Picture.Hash}}}, nil
}

// Hangs tells whether what comes after an op of the kind must not be done if that failed.
// User attributes and pictures come last, and nothing hangs on them.
func (k OpKind) Hangs() bool { return k != SetPicture && k != SetCustom }

// beforePictures is where in a list of ops something goes in that must not wait for user
// attributes or a picture.
func beforePictures(ops []Op) int {
	at := len(ops)
	for at > 0 && (ops[at-1].Kind == SetPicture || ops[at-1].Kind == NotePicture || ops[at-1].Kind == SetCustom) {
		at--
	}
	return at
}

// PictureText says what becomes of a picture, digests telling nobody anything; "" for
// any other op.
func (o Op) PictureText() string {
	if o.Kind != SetPicture && o.Kind != NotePicture || len(o.Changes) == 0 {
		return ""
	}
	switch c := o.Changes[0]; {
	case o.Kind == NotePicture:
		return "the person's own stays until the source's changes"
	case c.From == "":
		return "is set from the source"
	case c.From == c.To:
		return "is set from the source again"
	}
	return "is replaced by the source's new one"
}

// withExtras adds to a creation what comes last: user attributes and the picture.
func withExtras(d Decision, want *identity.Identity, people map[string]string, f *Facts) Decision {
	if custom := customOp(want, people, nil, f); custom != nil {
		d.Ops = append(d.Ops, *custom)
	}
	picture, note := newPicture(want, f)
	if picture != nil {
		d.Ops = append(d.Ops, *picture)
	}
	if note != nil {
		d.Notes = append(d.Notes, *note)
	}
	return d
}
