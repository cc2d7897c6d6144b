package plan

import (
	"cmp"
	"slices"
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
// data, or has the match key, and nobody said that it is not his. A directory that was built anew with other ids, and
// a person who moves from one source to another, both look like that. What a
// source says outright, disabled or deleted, or an operator, is not an absence and
// goes on.
func (b *builder) handOver() {
	b.heirs, b.known = map[string]heir{}, b.matchKeys()
	for i := range b.obs {
		b.inherit(i)
	}
	for i := range b.decisions {
		d, o := &b.decisions[i], &b.obs[i]
		if o.Desired != nil || o.Off != nil || o.Absence.Explicit || o.Linked == nil || !leaves(d) {
			continue
		}
		// The server's own lock of the account is not what keeps it here.
		left := strings.TrimSuffix(d.Detail, lockedDetail)
		h, found := b.heirs[o.Linked.ID]
		switch next := o.successor(b.policy); {
		case next != nil && !o.Linked.Roles.Privileged():
			*d = pause(handOn(*d, o, next, left), o)
		case found:
			text := left + "; but " + h.describe(&b.obs[h.obs]) + " of " + keyName(o.Key)
			if len(h.fields) == 0 {
				text += "; to give it to that one: " + Command("link hand-over", o.Key.String(), b.obs[h.obs].Key.Source)
			}
			*d = d.hold(HandOver, Deactivate, text)
		default:
			if v := o.stillKnown(); v != nil {
				*d = d.hold(HandOver, Deactivate, left+"; but "+keyName(v.Key)+" is linked to the account as well, and may still have the person: "+cmp.Or(v.Stale, "its source was not read in this run"))
			}
		}
	}
}

// successor gives the contributor to whom the account of somebody goes whom his own
// source lacks, by the policy: one that was just read and has him.
func (o *Observation) successor(p Policy) *Voice {
	for _, rule := range p.HandsOver {
		if rule.Source != o.Key.Source {
			continue
		}
		for _, source := range rule.To {
			if v := voiceOf(o.Voices, source); v != nil && v.Standing == Speaks && v.Stale == "" {
				return v
			}
		}
	}
	return nil
}

// stillKnown gives a contributor who is not known to lack the person; nil if there is
// none. That a source could not be read switches nobody off.
func (o *Observation) stillKnown() *Voice {
	for i := range o.Voices {
		if o.Voices[i].Standing != Gone {
			return &o.Voices[i]
		}
	}
	return nil
}

// handOn gives the account to a contributor. Nothing is written to it.
func handOn(d Decision, o *Observation, next *Voice, left string) Decision {
	d.Action, d.Reason, d.Held, d.Notes, d.Withheld, d.Until = Adopt, HandedOver, "", nil, nil, nil
	d.Ref = next.Ref
	d.Detail = left + "; goes to " + keyName(next.Key) + ", who has the person as well"
	d.Ops = []Op{{Kind: LinkAccount, Changes: []Change{
		{Field: FieldKey, From: o.Key.String(), To: next.Key.String()},
		{Field: FieldPart, From: string(identity.Owner), To: string(identity.Contributor)}, // if his own source has him again
	}}}
	return d
}

// leaves tells whether a decision takes somebody's access away, or as much of
// it as the server lets mmsync take.
func leaves(d *Decision) bool {
	return d.Action == Deactivate || (d.Action == Hold && d.Reason == LockedByLDAP && d.Held == Deactivate)
}

// missed tells that the source's read lacked the owner of an account that exists.
// Of whom the source itself said that he is deleted nobody asks who he is.
func (o *Observation) missed() bool {
	return o.Desired == nil && !o.Absence.Explicit && o.Link != nil && o.Link.Part != identity.Contributor && o.Linked != nil
}

// matchKeys gives the observations of the missing by what their source knew them
// by. A value that two of them had names nobody.
func (b *builder) matchKeys() map[identity.Key]int {
	known := map[identity.Key]int{} // source and match key
	for i := range b.obs {
		o := &b.obs[i]
		if !o.missed() || o.Link.Applied.MatchKey == "" {
			continue
		}
		k := identity.Key{Source: o.Key.Source, Anchor: o.Link.Applied.MatchKey}
		if _, twice := known[k]; twice {
			known[k] = -1
			continue
		}
		known[k] = i
	}
	return known
}

// inherit notes the accounts of others that an active person of a usable entry
// wants. What cannot be taken back also waits for who is not active yet: a rehire's new
// entry may be prepared before it is switched on.
func (b *builder) inherit(i int) {
	o := &b.obs[i]
	if o.Desired == nil || b.policy.ForGood == nil && !o.Desired.Active || o.Desired.Fault != "" || !o.Desired.Deleted.IsZero() {
		return
	}
	note := func(account string, f ...Field) {
		h, found := b.heirs[account]
		switch c := o.Key.Compare(b.obs[h.obs].Key); {
		case !found || c < 0:
			b.heirs[account] = heir{obs: i, fields: f}
		case c == 0:
			h.fields = append(h.fields, f...)
			b.heirs[account] = h
		}
	}
	if !o.fresh(b.policy) {
		if o.Link.Part == identity.Contributor {
			note(o.Link.AccountID)
		}
		return // whoever has an account of his own does not need another's
	}
	for _, f := range []Field{Field(identity.Username), Field(identity.Email), FieldAuthData} {
		if h := o.holder(f); h != nil && !slices.Contains(o.Refused, h.Account.ID) {
			note(h.Account.ID, f)
		}
	}
	if was, found := b.before(i); found {
		note(was.Linked.ID, FieldMatchKey)
	}
}

// before gives the missing person whose match key a new entry of the same source
// has, unless an operator said that it is somebody else.
func (b *builder) before(i int) (*Observation, bool) {
	o := &b.obs[i]
	if o.Desired.MatchKey == "" {
		return nil, false
	}
	at, found := b.known[identity.Key{Source: o.Key.Source, Anchor: o.Desired.MatchKey}]
	if !found || at < 0 || slices.Contains(o.Refused, b.obs[at].Linked.ID) {
		return nil, false
	}
	return &b.obs[at], true
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
	var wants []string
	match := false
	for _, f := range h.fields {
		if f == FieldMatchKey {
			match = true
			continue
		}
		wants = append(wants, fieldName(f))
	}
	text := who + " is active and "
	if !o.Desired.Active {
		text = who + " is there, not active, and "
	}
	if len(wants) > 0 {
		text += "wants the " + listed(wants)
	}
	switch {
	case match && len(wants) > 0:
		text += ", and has the match key,"
	case match:
		text += "has the match key"
	}
	return text + " of the account, which is that"
}

// listed gives "a, b and c".
func listed(words []string) string {
	n := len(words) - 1
	if n <= 0 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + " and " + words[n]
}
