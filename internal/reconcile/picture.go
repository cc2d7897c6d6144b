package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// takePicture has the picture at hand that an op is to set; cause says why there is none.
func (a *applier) takePicture(ctx context.Context, who *person, d *plan.Decision, op plan.Op) (cause string) {
	if op.Kind == plan.SetPicture {
		who.picture, cause = a.e.picture(ctx, d.Key, op)
	}
	return cause
}

// picture reads the picture that an op is to set: plans and the journal hold no more of
// it than its digest. cause says in one sentence why the op must not be carried out.
func (e *Engine) picture(ctx context.Context, k identity.Key, op plan.Op) (data []byte, cause string) {
	var src Pictures
	for _, s := range e.o.Sources {
		if p, ok := s.(Pictures); ok && s.Name() == k.Source {
			src = p
		}
	}
	if src == nil {
		return nil, "source " + k.Source + " gives no pictures any more"
	}
	data, hash, err := src.Picture(ctx, k.Anchor)
	if err != nil {
		return nil, fmt.Sprintf("the picture could not be read from source %s: %v", k.Source, err)
	}
	if to, _ := op.To(plan.FieldPicture); hash != to {
		return nil, "the source's picture was changed since the plan was made"
	}
	return data, ""
}

// pictureMoved says why a picture must not be set any more, "" if it may: what was
// uploaded last is another one than the plan saw, or the person has set one meanwhile.
func (a *applier) pictureMoved(who *person, d *plan.Decision, c plan.Change) string {
	applied := identity.Applied{}
	if who.link != nil {
		applied = who.link.Applied
	}
	always := false
	for _, p := range a.e.o.Policy.Pictures {
		always = always || p.Source == d.Key.Source && p.Always
	}
	switch {
	case applied.Picture != c.From:
		return "the picture was changed since the plan was made"
	case c.From == "" && !always && who.account != nil && who.account.PictureAt > 0 && d.Action != plan.Create:
		return "the person set a picture since the plan was made"
	}
	return ""
}

// refusedPicture tells that the server will not take this very picture, whenever it is
// sent.
func refusedPicture(op plan.Op, cause error) bool {
	var r interface{ PictureRefused() bool }
	return op.Kind == plan.SetPicture && errors.As(cause, &r) && r.PictureRefused()
}
