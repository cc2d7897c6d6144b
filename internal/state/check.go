package state

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// MaxKeyBytes limits a source name and an anchor, because Postgres cannot index
// much longer ones. Real anchors have 16 to 64.
const MaxKeyBytes = 1024

// The checks below are what both stores refuse before they write anything, so
// that they refuse the same. Whoever builds records from foreign input can ask
// them first and turn one bad entry into a fault of that entry.

// CheckText returns ErrInvalid if a value is not UTF-8 or holds a NUL byte:
// Postgres keeps neither, and JSON would replace them unseen. The values
// themselves are not in the error.
func CheckText(what string, values ...string) error {
	for _, v := range values {
		if !storable(v) {
			return fmt.Errorf("%s: text is not UTF-8 or holds a NUL byte: %w", what, ErrInvalid)
		}
	}
	return nil
}

func storable(text string) bool {
	return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}

// CheckKey returns ErrInvalid for a Key that cannot be kept.
func CheckKey(k identity.Key) error {
	if k.Source == "" || k.Anchor == "" {
		return fmt.Errorf("key %q: source or anchor is empty: %w", k, ErrInvalid)
	}
	if len(k.Source) > MaxKeyBytes || len(k.Anchor) > MaxKeyBytes {
		return fmt.Errorf("key %.80q…: source or anchor is longer than %d bytes: %w", k, MaxKeyBytes, ErrInvalid)
	}
	if storable(k.Source) && storable(k.Anchor) { // most of all keys need no name for an error
		return nil
	}
	return CheckText(fmtKey(k), k.Source, k.Anchor)
}

func fmtKey(k identity.Key) string { return "key " + quote(k.String()) }

func quote(s string) string { return fmt.Sprintf("%q", s) }

// CheckRun returns ErrInvalid for a run row that cannot be kept.
func CheckRun(r *Run) error {
	if r.ID == "" {
		return fmt.Errorf("run without an id: %w", ErrInvalid)
	}
	what := "run " + quote(r.ID)
	err := CheckText(what, r.ID, r.Kind, r.Trigger, r.RequestedBy, r.Reason, r.Options, string(r.Status), r.Digest,
		r.Policy, r.Message, r.Target.URL, r.Target.Version)
	if err != nil {
		return err
	}
	for _, s := range r.Sources {
		if err := CheckText(what, s.Name, s.Doubt); err != nil {
			return err
		}
	}
	for a := range r.Counts.Planned {
		if err := CheckText(what, string(a)); err != nil {
			return err
		}
	}
	return nil
}

// CheckBegin checks what BeginRun is given as a whole.
func CheckBegin(l Lease, r *Run, p plan.Plan, s SightingChanges) error {
	if r.Token != l.Token {
		return fmt.Errorf("run %s has token %d, its lease %d: %w", r.ID, r.Token, l.Token, ErrInvalid)
	}
	if err := CheckPlan(r, p.Decisions); err != nil {
		return err
	}
	if err := checkHeld(s); err != nil {
		return err
	}
	return checkSightings(s)
}

// CheckPlan checks a plan that is kept without being carried out.
func CheckPlan(r *Run, decisions []plan.Decision) error {
	if err := CheckRun(r); err != nil {
		return err
	}
	for i := range decisions {
		if err := CheckDecision(&decisions[i]); err != nil {
			return fmt.Errorf("decision %d: %w", i, err)
		}
	}
	return nil
}

// CheckDecision returns ErrInvalid for a decision that cannot be kept.
func CheckDecision(d *plan.Decision) error {
	if err := CheckKey(d.Key); err != nil {
		return err
	}
	err := CheckText(fmtKey(d.Key), d.Ref, string(d.Action), string(d.Reason), d.AccountID, d.Username, d.Detail, string(d.Held), d.Approval)
	if err != nil {
		return err
	}
	for _, n := range d.Notes {
		if err := CheckText(fmtKey(d.Key), string(n.Field), string(n.Reason), n.Detail, n.From, n.To); err != nil {
			return err
		}
	}
	return checkOps(d.Key, slices.Concat(d.Ops, d.Withheld))
}

func checkOps(k identity.Key, ops []plan.Op) error {
	for _, o := range ops {
		for _, c := range o.Changes {
			if err := CheckText(fmtKey(k), string(c.Field), c.From, c.To); err != nil {
				return err
			}
		}
		if err := CheckText(fmtKey(k), string(o.Kind)); err != nil {
			return err
		}
	}
	return nil
}

func checkHeld(s SightingChanges) error {
	seen := make(map[identity.Key]bool, len(s.Held)+len(s.Released))
	for _, k := range s.Released {
		seen[k] = true
		if err := CheckKey(k); err != nil {
			return err
		}
	}
	for _, h := range s.Held {
		if seen[h.Key] {
			return fmt.Errorf("%s is held twice, or held and released: %w", fmtKey(h.Key), ErrInvalid)
		}
		seen[h.Key] = true
		if err := CheckKey(h.Key); err != nil {
			return err
		}
		if err := CheckText(fmtKey(h.Key), h.Run); err != nil {
			return err
		}
		if err := checkOps(h.Key, h.Ops); err != nil {
			return err
		}
	}
	return nil
}

func checkSightings(s SightingChanges) error {
	seen := make(map[identity.Key]bool, len(s.Missed)+len(s.Seen))
	check := func(k identity.Key) error {
		if seen[k] {
			return fmt.Errorf("%s has two sightings: %w", fmtKey(k), ErrInvalid)
		}
		seen[k] = true
		return CheckKey(k)
	}
	for _, m := range s.Missed {
		if err := check(m.Key); err != nil {
			return err
		}
	}
	for _, k := range s.Seen {
		if err := check(k); err != nil {
			return err
		}
	}
	return nil
}

// CheckSent returns ErrInvalid for a send without a time, or of an op that no
// store can hold.
func CheckSent(ref OpRef, at time.Time) error {
	if at.IsZero() {
		return fmt.Errorf("op %s: sent without a time: %w", ref, ErrInvalid)
	}
	return CheckText("op", ref.Run)
}

// CheckOutcome returns ErrInvalid for an outcome that does not close an op, has
// no time (it would be missing from Usage, and so from the guards), or cannot be
// kept.
func CheckOutcome(o *Outcome) error {
	if !o.Status.Closed() || o.Status == "" {
		return fmt.Errorf("op %s: status %q does not close it: %w", o.Ref, o.Status, ErrInvalid)
	}
	if o.At.IsZero() {
		return fmt.Errorf("op %s: closed without a time: %w", o.Ref, ErrInvalid)
	}
	if err := CheckText("op "+o.Ref.String(), o.Ref.Run, string(o.Status), o.AccountID, o.Error); err != nil {
		return err
	}
	for _, a := range []*identity.Account{o.Before, o.After} {
		if err := CheckAccount(a); err != nil {
			return fmt.Errorf("op %s: %w", o.Ref, err)
		}
	}
	if o.Link != nil {
		return CheckLink(o.Link)
	}
	return nil
}

// CheckIndex returns ErrInvalid if an account is in the list twice, has no id,
// or cannot be kept.
func CheckIndex(accounts []IndexedAccount) error {
	seen := make(map[string]bool, len(accounts))
	for i := range accounts {
		a := &accounts[i]
		if a.ID == "" || seen[a.ID] {
			return fmt.Errorf("indexed account %q has no id or is in the list twice: %w", a.ID, ErrInvalid)
		}
		seen[a.ID] = true
		if err := CheckText("indexed account "+a.ID, a.ID, a.Username, a.Email, a.Auth.Service, a.Auth.Data, a.OwnerID); err != nil {
			return err
		}
	}
	return nil
}

// CheckLease returns ErrInvalid for a lease without name, holder or duration.
func CheckLease(name, holder string, ttl time.Duration) error {
	if name == "" || holder == "" || ttl < time.Millisecond {
		return fmt.Errorf("lease %q of %q for %s: needs a name, a holder and at least a millisecond: %w", name, holder, ttl, ErrInvalid)
	}
	return CheckText("lease", name, holder)
}

// CheckLinkFilter returns ErrInvalid for values no store can hold.
func CheckLinkFilter(f LinkFilter) error {
	for _, k := range f.Keys {
		if err := CheckText("filter", k.Source, k.Anchor); err != nil {
			return err
		}
	}
	if err := CheckText("filter", f.AccountIDs...); err != nil {
		return err
	}
	return CheckText("filter", f.Source)
}

// CheckSchema returns ErrSchema with the next step unless current is wanted.
func CheckSchema(current, wanted int64, where string) error {
	switch {
	case current == wanted:
		return nil
	case current == 0:
		return fmt.Errorf("%s is empty: run mmsync state migrate: %w", where, ErrSchema)
	case current < wanted:
		return fmt.Errorf("%s has schema %d and this program needs %d: run mmsync state migrate: %w", where, current, wanted, ErrSchema)
	}
	return fmt.Errorf("%s has schema %d and this program knows %d: it was used by a newer mmsync, install that one: %w",
		where, current, wanted, ErrSchema)
}

// CheckRead returns ErrInvalid for a reading without source or time, or one that
// cannot be kept.
func CheckRead(r Read) error {
	if r.Source == "" || r.At.IsZero() {
		return fmt.Errorf("read of source %q at %s: needs both: %w", r.Source, r.At, ErrInvalid)
	}
	return CheckText("read", r.Source, r.Doubt)
}

// CheckBinding returns ErrInvalid for a binding without name or id, or one that
// cannot be kept.
func CheckBinding(b Binding) error {
	if b.Name == "" || b.ID == "" {
		return fmt.Errorf("binding of %q to %q: needs both: %w", b.Name, b.ID, ErrInvalid)
	}
	return CheckText("binding", b.Name, b.ID, b.Note)
}

// CheckBound returns ErrConflict if what is bound is not what is wanted.
func CheckBound(wanted, bound Binding) error {
	if wanted.ID == bound.ID {
		return nil
	}
	return fmt.Errorf("bind %s: this store was made with %s (%s), and this is %s (%s): %w",
		bound.Name, bound.ID, bound.Note, wanted.ID, wanted.Note, ErrConflict)
}

// CheckMark returns ErrInvalid for a mark without a name.
func CheckMark(m Mark) error {
	if m.Name == "" {
		return fmt.Errorf("mark without a name: %w", ErrInvalid)
	}
	return CheckText("mark", m.Name)
}

// maxReadMark bounds what a source's mark may hold, in bytes.
const maxReadMark = 64 << 10

// CheckReadMark returns ErrInvalid for one without a source, or that is too long.
func CheckReadMark(m ReadMark) error {
	if m.Source == "" {
		return fmt.Errorf("read mark without a source: %w", ErrInvalid)
	}
	if len(m.Mark) > maxReadMark {
		return fmt.Errorf("read mark of source %s has %d bytes, more than %d: %w", m.Source, len(m.Mark), maxReadMark, ErrInvalid)
	}
	if m.Mark != "" && m.FullAt.IsZero() {
		return fmt.Errorf("read mark of source %s says not when everybody was read: %w", m.Source, ErrInvalid)
	}
	return CheckText("read mark", append([]string{m.Source, m.Mark}, m.Again...)...)
}

// CheckIndexFilter returns ErrInvalid for values no store can hold.
func CheckIndexFilter(f IndexFilter) error {
	for _, a := range f.Auth {
		if err := CheckText("filter", a.Service, a.Data); err != nil {
			return err
		}
	}
	return CheckText("filter", f.IDs...)
}

// CheckProtected returns ErrInvalid if an account is in the list twice, has no
// id, or cannot be kept.
func CheckProtected(accounts []ProtectedAccount) error {
	seen := make(map[string]bool, len(accounts))
	for _, a := range accounts {
		if a.ID == "" || seen[a.ID] {
			return fmt.Errorf("protected account %q has no id or is in the list twice: %w", a.ID, ErrInvalid)
		}
		seen[a.ID] = true
		if err := CheckText("protected account "+quote(a.ID), a.ID, a.Pattern); err != nil {
			return err
		}
	}
	return nil
}
