package plan

import (
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// heir is the observation of an active person who wants what an account has,
// although the account is another Key's, and by which fields.
type heir struct {
	obs    int
	fields []Field // empty: by a link of its own
}

// handOver holds those who would leave because their source lacks them while an
// active entry, of any source, wants their account's username, e-mail or login
// data. A directory that was built anew with other ids, and a person who moves
// from one source to another, both look like that. What a source says outright,
// disabled or deleted, or an operator, is not an absence and goes on.
func (b *builder) handOver() {
	heirs := map[string]heir{} // account id -> the first who wants it, by Key
	for i := range b.obs {
		b.inherit(heirs, i)
	}
	if len(heirs) == 0 {
		return
	}
	for i := range b.decisions {
		d, o := &b.decisions[i], &b.obs[i]
		if o.Desired != nil || o.Off != nil || o.Absence.Explicit || o.Linked == nil || !leaves(d) {
			continue
		}
		h, found := heirs[o.Linked.ID]
		if !found {
			continue
		}
		// The server's own lock of the account is not what keeps it here.
		*d = d.hold(HandOver, Deactivate, strings.TrimSuffix(d.Detail, lockedDetail)+"; but "+h.describe(&b.obs[h.obs])+" of "+keyName(o.Key))
	}
}

// leaves tells whether a decision takes somebody's access away, or as much of
// it as the server lets mmsync take.
func leaves(d *Decision) bool {
	return d.Action == Deactivate || (d.Action == Hold && d.Reason == LockedByLDAP && d.Held == Deactivate)
}

// inherit notes the accounts of others that an active person of a usable entry
// wants.
func (b *builder) inherit(heirs map[string]heir, i int) {
	o := &b.obs[i]
	if o.Desired == nil || !o.Desired.Active || o.Desired.Fault != "" {
		return
	}
	note := func(account string, f ...Field) {
		h, found := heirs[account]
		switch c := o.Key.Compare(b.obs[h.obs].Key); {
		case !found || c < 0:
			heirs[account] = heir{obs: i, fields: f}
		case c == 0:
			h.fields = append(h.fields, f...)
			heirs[account] = h
		}
	}
	if !o.fresh(b.policy) {
		if o.Link.Part == identity.Contributor {
			note(o.Link.AccountID)
		}
		return // whoever has an account of his own does not need another's
	}
	for _, f := range []Field{Field(identity.Username), Field(identity.Email), FieldAuthData} {
		if h := o.holder(f); h != nil {
			note(h.Account.ID, f)
		}
	}
}

// describe begins a sentence that the Key of the account's owner ends.
func (h heir) describe(o *Observation) string {
	who := keyName(o.Key)
	if o.Desired.Ref != "" {
		who += " " + quote(o.Desired.Ref)
	}
	if len(h.fields) == 0 {
		return who + " is linked to the account as well, which is that"
	}
	names := make([]string, len(h.fields))
	for i, f := range h.fields {
		names[i] = fieldName(f)
	}
	list := names[0]
	if n := len(names) - 1; n > 0 {
		list = strings.Join(names[:n], ", ") + " and " + names[n]
	}
	return who + " is active and wants the " + list + " of the account, which is that"
}
