package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// wantBack adds the observation of one person that wants him to be as before the
// run, or says why not.
func (e *Engine) wantBack(ctx context.Context, r *reversal, d *deed) error {
	did := map[plan.OpKind]state.OpRecord{}
	for _, op := range d.ops {
		did[op.Op.Kind] = op
	}
	if slices.ContainsFunc(d.ops, func(op state.OpRecord) bool { _, makes := op.Op.Makes(); return makes }) {
		r.leave(d, "what was made stays, with all that people wrote there; to be rid of it, archive it in Mattermost")
		return nil
	}
	made, was := did[plan.CreateAccount], did[plan.UnlinkAccount]
	if was.AccountID != "" && made.AccountID == "" {
		return e.linkBack(ctx, r, d, was.AccountID)
	}
	account := d.ops[len(d.ops)-1].AccountID
	k := r.g.links[d.key]
	adopted := did[plan.LinkAccount].AccountID != ""
	switch {
	case k == nil && adopted:
		return nil // it is unlinked again
	case k == nil || k.AccountID != account:
		r.leave(d, "account "+account+" is not this person's any more")
		return nil
	case k.Part == identity.Contributor && adopted:
		r.leave(d, "who only adds to account "+account+" changed nothing; to take it back: "+plan.Command("link release", k.Key.String())+", or, if the account was handed over, mmsync link hand-over")
		return nil
	}
	ob := plan.Observation{Key: d.key, Link: k}
	r.v.attach(&ob)
	a := ob.Linked
	if a == nil {
		r.leave(d, "the server has no account "+account+" any more")
		return nil
	}
	d.name = a.Username
	want := &identity.Identity{Key: d.key, Ref: k.Ref, Active: a.Active(), Profile: a.Profile, Roles: a.Roles}
	ob.Desired = want
	if made.AccountID != "" {
		want.Active = false
		if was.AccountID != "" {
			r.leave(d, "account "+was.AccountID+", which was there before, is gone; the one that was made instead is switched off")
		}
	} else {
		if did[plan.SetPicture].AccountID != "" {
			r.leave(d, "the picture of before was not kept; the person sets it anew in Mattermost")
		}
		if did[plan.SetCustom].AccountID != "" {
			r.leave(d, "user attributes are not taken back")
		}
		r.wantFields(d, want, a, k)
	}
	ob.ToPassword = r.password[d.key]
	r.unlink[d.key] = adopted
	r.g.observations = append(r.g.observations, ob)
	return nil
}

// wantFields sets what a person is to have back. Of what somebody changed since,
// nothing is taken back.
func (r *reversal) wantFields(d *deed, want *identity.Identity, a *identity.Account, k *identity.Link) {
	changes, off := d.net()
	for _, f := range slices.Sorted(maps.Keys(changes)) {
		c := changes[f]
		is := value(*a, f)
		same := func(v string) bool {
			switch f {
			case plan.FieldRoles:
				return a.Roles.Equal(identity.ParseRoles(v))
			case plan.Field(identity.Email):
				return strings.EqualFold(is, v)
			case plan.Field(identity.Username):
				return is == v || (v == c.To && is == plan.ParkedPrefix+a.ID) // ours as well, and not for good
			case plan.FieldAuthData:
				return is == v || (is == "" && !r.g.facts.AuthDataVisible)
			}
			return is == v
		}
		switch {
		case f == plan.FieldActive && c.To == "false" && !a.Active() && (a.DeleteAt != off || a.DeleteAt != k.DeactivatedAt):
			r.leave(d, "somebody else switched the account off since")
		case same(c.From) && c.From != c.To:
		case !same(c.To):
			r.leave(d, string(f)+" was changed since, to "+strconv.Quote(is))
		case f == plan.FieldActive:
			want.Active = c.From == "true"
		case f == plan.FieldRoles:
			want.Roles = identity.ParseRoles(c.From)
		case f == plan.FieldAuthService || f == plan.FieldAuthData:
		default:
			want.Profile = want.Profile.With(identity.Attribute(f), c.From)
			want.Owned = want.Owned.With(identity.Attribute(f))
		}
	}
	r.wantLogin(d, want, a, changes)
}

// wantLogin gives back a login that is known whole: there is no way back to a
// password, and none to data that the server did not show.
func (r *reversal) wantLogin(d *deed, want *identity.Identity, a *identity.Account, changes map[plan.Field]plan.Change) {
	service, moved := changes[plan.FieldAuthService]
	data := changes[plan.FieldAuthData]
	hidden := a.Auth.Data == "" && !r.g.facts.AuthDataVisible
	if !moved || a.Auth.Service != service.To || (a.Auth.Data != data.To && !hidden) || (service.From == service.To && data.From == data.To) {
		return
	}
	switch {
	case service.From == "" && r.toPassword && a.Active():
		r.password[d.key] = true
	case service.From == "":
		r.leave(d, "the login by password cannot come back; a new password has to be set in Mattermost")
	case data.From == "":
		r.leave(d, "the login by "+service.From+" cannot come back, because the server did not show its data")
	default:
		want.Auth = identity.Auth{Service: service.From, Data: data.From}
	}
}

// net sums up what ops did to each field, and when the last of them switched the
// account off.
func (d *deed) net() (changes map[plan.Field]plan.Change, off int64) {
	changes = map[plan.Field]plan.Change{}
	for _, op := range d.ops {
		switch op.Op.Kind {
		case plan.PatchProfile, plan.SetActive, plan.SetRoles, plan.SetAuth, plan.Promote, plan.Demote, plan.SetPassword:
		default:
			continue
		}
		if op.After != nil && op.Op.Kind == plan.SetActive {
			off = op.After.DeleteAt
		}
		for _, c := range op.Op.Changes {
			if was, found := changes[c.Field]; found {
				c.From = was.From
			}
			changes[c.Field] = c
		}
	}
	return changes, off
}

func (r *reversal) leave(d *deed, why string) {
	r.left = append(r.left, fmt.Sprintf("%s (%s) is left in this: %s", d.name, d.key, why))
}

// linkBack links somebody again whom the run forgot, if the account is there and
// nobody's.
func (e *Engine) linkBack(ctx context.Context, r *reversal, d *deed, account string) error {
	if k := r.g.links[d.key]; k != nil {
		if k.AccountID != account {
			r.leave(d, "the person has another account by now")
		}
		return nil
	}
	owners, err := e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{account}})
	if err != nil {
		return fmt.Errorf("read whose account %s is: %w", account, err)
	}
	if slices.ContainsFunc(owners, func(k identity.Link) bool { return k.Part != identity.Contributor }) {
		r.leave(d, "account "+account+" is somebody else's by now")
		return nil
	}
	a, ok, err := e.o.Target.Account(ctx, account)
	if err != nil {
		return fmt.Errorf("look at account %s: %w", account, err)
	}
	if !ok {
		r.leave(d, "the server has no account "+account+" any more")
		return nil
	}
	r.v.add(&a)
	r.links = append(r.links, plan.Decision{
		Key: d.key, Ref: d.ops[0].SourceRef, Action: plan.Adopt, Reason: plan.Reverted, AccountID: a.ID, Username: a.Username,
		Detail: r.why() + ": the account is this person's again", Ops: []plan.Op{{Kind: plan.LinkAccount}},
	})
	return nil
}
