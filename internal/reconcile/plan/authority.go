package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// Authority names the sources whose value of one attribute counts before that of the
// account's owner, the first first. The owner's source may be among them.
type Authority struct {
	Attribute identity.Attribute
	Sources   []string
}

// HandsOver says that the people of one source go to another, of those in To the
// first that has them as well, once theirs lacks them.
type HandsOver struct {
	Source string
	To     []string
}

// Contributing says how the people of a source meet accounts that other sources own.
type Contributing struct {
	Source string
	// By is what they and the owner have in common: an identity.Attribute that is
	// Username or Email, or FieldMatchKey; "" if only an operator says who they are.
	By Field
	// Only means that the source never gets an account for anybody.
	Only bool
}

func (p Policy) contributing(source string) Contributing {
	for _, c := range p.Contributing {
		if c.Source == source {
			return c
		}
	}
	return Contributing{Source: source}
}

// authorityOf gives the sources that come before the owner's for an attribute.
func (p Policy) authorityOf(a identity.Attribute) []string {
	for _, r := range p.Authority {
		if r.Attribute == a {
			return r.Sources
		}
	}
	return nil
}

// ManyVoices tells whether anything of an account may come from another source than
// its owner's.
func (p Policy) ManyVoices() bool { return len(p.Authority)+len(p.RoleSources) > 0 }

// Standing is what a contributor's word is worth.
type Standing string

// The standings of a Voice.
const (
	Speaks  Standing = "speaks"  // the source has the person
	Gone    Standing = "gone"    // the source says that the person has left, or has nobody of that id
	Unknown Standing = "unknown" // the source was not read since it is known to know the person
)

// Voice is what one contributor says about an account.
type Voice struct {
	Key      identity.Key
	Ref      string // where its source keeps the person
	Standing Standing
	Profile  identity.Profile
	Owned    identity.Attributes
	Roles    identity.Roles
	// Stale says why this is what the source said when it was read last, and not what it
	// says now; "" if it was just read.
	Stale string
}

// Award says whose value an attribute of an account has that more than one source
// has a say in.
type Award struct {
	Attribute identity.Attribute `json:"attribute"`
	// Source gave the value; "" means that nobody's counts and that the account keeps
	// what it has.
	Source string `json:"source"`
	Value  string `json:"value"`
	// Why says what makes it this one's.
	Why  string      `json:"why"`
	Lost []LostVoice `json:"lost,omitempty"`
}

// LostVoice is a source whose value does not count, and why.
type LostVoice struct {
	Source string `json:"source"`
	Value  string `json:"value"`
	Why    string `json:"why"`
}

// Merge gives how the owner's source and those with authority want a person together,
// and for each attribute in which a contributor has a say, whose value it is. A value
// comes from the first source that has one; if none has, an e-mail and a username stay
// the owner's, and anything else is emptied by the first that speaks about it. What a
// contributor would say who was not read yet is left as it is. owner is not changed.
func Merge(owner *identity.Identity, voices []Voice, p Policy) (*identity.Identity, []Award) {
	if owner.Fault != "" || len(voices) == 0 {
		return owner, nil
	}
	out := *owner
	var awards []Award
	for _, a := range identity.AllAttributes() {
		award, heard := p.award(owner, voices, a)
		if !heard {
			continue
		}
		awards = append(awards, award)
		switch award.Source {
		case owner.Key.Source:
		case "":
			out.Owned = out.Owned.Without(identity.AttributesOf(a))
		default:
			out.Profile, out.Owned = out.Profile.With(a, award.Value), out.Owned.With(a)
		}
	}
	out.Hash = mergedHash(owner, awards, p.roleVoices(voices))
	return &out, awards
}

// award gives whose an attribute is; heard is false where no contributor has a say.
func (p Policy) award(owner *identity.Identity, voices []Voice, a identity.Attribute) (award Award, heard bool) {
	own := &Voice{Key: owner.Key, Standing: Speaks, Profile: owner.Profile, Owned: owner.Owned}
	var order []*Voice
	for _, source := range p.authorityOf(a) {
		if source == owner.Key.Source {
			order = append(order, own)
		} else if v := voiceOf(voices, source); v != nil {
			order, heard = append(order, v), true
		}
	}
	if !heard {
		return award, false
	}
	if !slices.Contains(order, own) {
		order = append(order, own)
	}
	award = Award{Attribute: a}
	won := winner(order, own, a)
	switch {
	case won == nil:
		award.Why = "it is not known yet what " + clean(firstUnknown(order).Key.Source) + " says, which comes first; the account keeps what it has"
	case !won.Owned.Has(a):
		award.Why = "no source that has the person speaks about it; the account keeps what it has"
	case won == own:
		award.Source, award.Value, award.Why = won.Key.Source, won.Profile.Value(a), "owns the account"
	default:
		award.Source, award.Value, award.Why = won.Key.Source, won.Profile.Value(a), "has authority over it"
		if won.Stale != "" {
			award.Why += ", as it was when last read: " + won.Stale
		}
	}
	for _, v := range order {
		if v != won {
			award.Lost = append(award.Lost, LostVoice{v.Key.Source, v.Profile.Value(a), v.lost(a, award.Source)})
		}
	}
	return award, true
}

// winner gives the first that has a value; nil if one comes before it of whom it is not
// known what he would say.
func winner(order []*Voice, own *Voice, a identity.Attribute) *Voice {
	var blank *Voice
	for _, v := range order {
		switch {
		case v.Standing == Unknown:
			return nil
		case v.Standing == Gone || !v.Owned.Has(a):
		case v.Profile.Value(a) != "":
			return v
		case blank == nil:
			blank = v
		}
	}
	if blank == nil || a == identity.Username || a == identity.Email {
		return own
	}
	return blank
}

func firstUnknown(order []*Voice) *Voice {
	return order[slices.IndexFunc(order, func(v *Voice) bool { return v.Standing == Unknown })]
}

// lost says why a voice does not count.
func (v *Voice) lost(a identity.Attribute, winner string) string {
	switch {
	case v.Standing == Gone:
		return "does not have the person any more"
	case v.Standing == Unknown:
		return "was not read yet"
	case !v.Owned.Has(a):
		return "says nothing about it"
	case v.Profile.Value(a) == "":
		return "has no value"
	case winner == "":
		return "comes later"
	}
	return "comes after " + clean(winner)
}

// voiceOf gives what a source says: of several of its ids that know the account, the
// first that still speaks.
func voiceOf(voices []Voice, source string) *Voice {
	var found *Voice
	for i := range voices {
		v := &voices[i]
		if v.Key.Source != source {
			continue
		}
		if found == nil || rank(v.Standing) < rank(found.Standing) || v.Standing == found.Standing && v.Key.Compare(found.Key) < 0 {
			found = v
		}
	}
	return found
}

func rank(s Standing) int { return slices.Index([]Standing{Speaks, Unknown, Gone}, s) }

// roleVoices gives those whose role rules count beside the owner's, by Key.
func (p Policy) roleVoices(voices []Voice) []Voice {
	var out []Voice
	for _, source := range p.RoleSources {
		if v := voiceOf(voices, source); v != nil {
			out = append(out, *v)
		}
	}
	slices.SortFunc(out, func(a, b Voice) int { return a.Key.Compare(b.Key) })
	return out
}

// mergedHash names what is wanted once others had their say; the owner's own hash where
// that changes nothing.
func mergedHash(owner *identity.Identity, awards []Award, roles []Voice) string {
	var parts []string
	for _, w := range awards {
		if w.Source != owner.Key.Source {
			parts = append(parts, "a", string(w.Attribute), w.Source, w.Value)
		}
	}
	for _, v := range roles {
		parts = append(parts, "r", v.Key.String(), string(v.Standing), v.Roles.String())
	}
	if len(parts) == 0 || owner.Hash == "" {
		return owner.Hash
	}
	h := sha256.New()
	put(h, append([]string{owner.Hash}, parts...)...)
	return hex.EncodeToString(h.Sum(nil))
}

// Credit names the source of a changed field that is not the owner's.
type Credit struct {
	Field  Field  `json:"field"`
	Source string `json:"source"`
}

// credit notes from which other sources the changes of a decision come.
func (d Decision) credit(o *Observation) Decision {
	d.Credits = nil
	for _, w := range o.Awards {
		if w.Source == "" || w.Source == o.Key.Source {
			continue
		}
		if _, changes := change(&d, Field(w.Attribute)); changes {
			d.Credits = append(d.Credits, Credit{Field(w.Attribute), w.Source})
		}
	}
	return d
}

// from ends a line about a field whose value is another source's.
func (d Decision) from(f Field) string {
	for _, c := range d.Credits {
		if c.Field == f {
			return " (from " + clean(c.Source) + ")"
		}
	}
	return ""
}

// rolesOfAll gives the roles that the owner's rules and those of contributors with a
// word about roles give, and what these rules decide together. Only what the owner's
// give may be given without asking. What a contributor would give of whom that is not
// known stays. A guest is given nothing.
func (o *Observation) rolesOfAll(has identity.Roles, p Policy) (given identity.Roles, all RoleAuthority) {
	all = p.rolesOf(o.Key.Source)
	var own identity.Roles
	if o.Desired != nil {
		own = o.Desired.Roles
	}
	given = own
	guest := all.Guests && own.Has(identity.RoleGuest)
	for _, v := range p.roleVoices(o.Voices) {
		rules := p.rolesOf(v.Key.Source)
		all.Managed, all.Kept, all.Asked = all.Managed.Union(rules.Managed), all.Kept.Union(rules.Kept), all.Asked.Union(rules.Asked)
		switch {
		case guest:
		case v.Standing == Speaks:
			given = given.Union(v.Roles.Minus(v.Roles.Minus(rules.Managed)))
		case v.Standing == Unknown:
			given = given.Union(has.Minus(has.Minus(rules.Managed)))
		}
	}
	all.Granted = all.Granted.Minus(given.Minus(own))
	return given, all
}

// contributes tells of a new person of a contributing source that he is somebody whose
// account another source owns.
func (o *Observation) contributes(p Policy) bool {
	return o.Match != nil && !o.Match.Owner.IsZero() && o.Match.Owner.Source != o.Key.Source &&
		p.contributing(o.Key.Source).By != "" && !slices.Contains(o.Refused, o.Match.Account.ID)
}

// contribute notes that a second source knows the person. No account is written to:
// what it has authority over shows in the next plan.
func contribute(d Decision, o Observation) Decision {
	d.AccountID, d.Username = o.Match.Account.ID, o.Match.Account.Username
	d.Action, d.Reason = Adopt, Contributes
	d.Detail = keyName(o.Key) + " is the person whose account " + keyName(o.Match.Owner) + " owns, and only adds to it"
	d.Ops = []Op{{Kind: LinkAccount, Changes: []Change{{Field: FieldPart, To: string(identity.Contributor)}}}}
	return d
}

// AsItIs is what the owner's source wants of somebody as far as that is known while it
// is not read: that the account stays as it is. Merged with what contributors say it
// gives what they alone want.
func AsItIs(o *Observation, p Policy) *identity.Identity {
	roles := o.Linked.Roles
	own := p.rolesOf(o.Key.Source).Managed
	for _, source := range p.RoleSources {
		if source != o.Key.Source {
			roles = roles.Minus(p.rolesOf(source).Managed.Minus(own))
		}
	}
	return &identity.Identity{Key: o.Key, Ref: o.Link.Ref, Active: true, Profile: o.Linked.Profile, Roles: roles, Unplaced: true}
}
