package reconcile_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// allowed judges a write to an account that is there by what is known without
// mmsync's help. b.mu is held.
func (w wire) allowed(a *attempt, note *opNote, body []byte) {
	b, s := &w.s.book, w.s
	u, there := s.sim.User(a.account)
	key, owned := b.owner[a.account]
	switch {
	case !owned:
		b.wrong("run %s: %s of account %s %s, which is nobody's", w.run.name, a.kind, a.account, u.Username)
		return
	case s.untouchable[a.account] != "":
		b.wrong("run %s: %s of account %s %s, which %s", w.run.name, a.kind, a.account, u.Username, s.untouchable[a.account])
	case u.IsBot || u.IsRemote():
		b.wrong("run %s: %s of account %s %s, a bot or another server's", w.run.name, a.kind, a.account, u.Username)
	}
	if note != nil && note.key != key {
		b.wrong("run %s: %s of account %s for %s, and it belongs to %s", w.run.name, a.kind, a.account, note.key, key)
	}
	takes := a.kind == plan.SetAuth || a.kind == plan.Demote
	if isPlace(a.kind) {
		takes = w.placed(a, key, u, body)
	}
	switch a.kind {
	case plan.Promote, plan.Demote:
		w.guested(a, key, u)
	case plan.SetRoles:
		var in struct{ Roles string }
		_ = json.Unmarshal(body, &in)
		if strings.TrimSpace(in.Roles) == "" {
			b.wrong("run %s: roles of %s with nothing in it", w.run.name, a.account)
		}
		takes = len(identity.ParseRoles(u.Roles).Minus(identity.ParseRoles(in.Roles))) > 0
	case plan.SetActive:
		if len(body) > 0 && !bytes.Contains(body, []byte("false")) {
			if !u.Active() && !b.ourOff[a.account][u.DeleteAt] && !w.run.edited[a.account] {
				b.wrong("run %s: account %s %s is switched on, and somebody else had switched it off", w.run.name, a.account, u.Username)
			}
			if e := s.people[key]; s.rules.guests && e != nil && e.guest && !u.IsGuest() && !w.run.edited[a.account] {
				b.wrong("run %s: %s %s is switched on as a full member, and should be a guest", w.run.name, key, u.Username)
			}
			return
		}
		takes = true
		if there && !u.Active() && !w.run.edited[a.account] {
			b.wrong("run %s: account %s %s is off and is switched off again", w.run.name, a.account, u.Username)
		}
		w.mayLeave(key)
		if read := w.run.reads[key.Source]; read != nil {
			_, listed := read.listed[key]
			if k := b.known(a.account); !listed && !k.IsZero() {
				b.wrong("run %s: %s is switched off for being missing, and %s is not known to lack him", w.run.name, key, k)
			}
		}
	default:
	}
	// Who is made as a guest is made and demoted, and loses nothing that he had.
	if takes && w.run.setBack && !w.run.lagged && !w.run.born[a.account] {
		b.wrong("run %s: %s of %s takes something away, and the server was set back", w.run.name, a.kind, a.account)
	}
}

// mayLeave holds every switching off to what this run itself read.
func (w wire) mayLeave(k identity.Key) {
	b := &w.s.book
	read := w.run.reads[k.Source]
	if read == nil {
		b.wrong("run %s: %s is switched off, and his source was not read", w.run.name, k)
		return
	}
	if e := w.s.people[k]; e != nil && e.adds {
		w.s.seen.add("left the source that an account was handed to")
	}
	grace := w.s.rules.grace
	active, listed := read.listed[k]
	switch {
	case listed && active:
		b.wrong("run %s: %s is switched off, and the source lists him as active", w.run.name, k)
	case listed:
		if since, ok := b.missed[k]; grace.Disabled > 0 && (!ok || time.Since(since) < grace.Disabled) {
			b.wrong("run %s: %s is switched off within his grace", w.run.name, k)
		}
	case !read.complete:
		b.wrong("run %s: %s is switched off after an incomplete read", w.run.name, k)
	case read.shrunk:
		b.wrong("run %s: %s is switched off after a read that shrank", w.run.name, k)
	case read.present[k]:
		b.wrong("run %s: %s is switched off, and is there, though unreadable", w.run.name, k)
	default:
		if _, there := read.truth[k]; there {
			b.wrong("run %s: %s is switched off, and is there", w.run.name, k)
		}
		span := grace.Missing
		if read.answers[k.Anchor] == identity.PresenceOutOfScope {
			span = grace.OutOfScope
		} else if read.answers[k.Anchor] != identity.PresenceGone {
			b.wrong("run %s: %s is switched off, and nobody confirmed his absence: %q", w.run.name, k, read.answers[k.Anchor])
		}
		if since, ok := b.missed[k]; span > 0 && (!ok || time.Since(since) < span) {
			b.wrong("run %s: %s is switched off within his grace", w.run.name, k)
		}
	}
}
