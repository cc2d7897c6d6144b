package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Forgotten is what Forget did.
type Forgotten struct {
	Run string
	Key identity.Key
	// Others are the ids that the same person had before or since.
	Others []identity.Key
	// Rows counts those of the history whose values are gone, Elsewhere those of them
	// about somebody else, or a run, that named the person in a sentence.
	Rows, Elsewhere int
	// Same counts rows of other people that hold the same name or address as theirs, and
	// Reasons those whose reason, as an operator gave it, names the person. Both stay.
	Same, Reasons int
	// Account is what the person is still linked to; "" for nothing.
	Account string
}

// Forget takes out of the history and the journal what they hold of a person:
// names, addresses, places and values. That something was done, to which account
// and when stays, and the history verifies. Somebody whose linked account is active
// is refused: the next run would write it all down again.
func (e *Engine) Forget(ctx context.Context, person string, o RunOptions) (Forgotten, error) {
	var out Forgotten
	if e.o.Vault == nil {
		return out, errNoVault
	}
	l, err := e.takeLease(ctx)
	if err != nil {
		return out, err
	}
	defer l.release()
	c, err := history(l.ctx, e.o.Store, e.o.Vault, true)
	if err != nil {
		return out, err
	}
	if out.Key, err = e.whom(l.ctx, person); err != nil {
		return out, err
	}
	keys, err := e.rekeyed(l.ctx, out.Key)
	if err != nil {
		return out, err
	}
	out.Others = keys[1:]
	for _, k := range keys {
		link, err := e.linkOf(l.ctx, k)
		if err != nil {
			return out, fmt.Errorf("read the link of %s: %w", k, err)
		}
		if link == nil {
			continue
		}
		out.Account = link.AccountID
		if link.Part == identity.Owner && (link.Observed == nil && link.Applied.Active || link.Observed != nil && link.Observed.Active()) {
			return out, fmt.Errorf("%w: %s is linked to account %s, which is active, so that the next run would write it all down again; take the person out of the source, let a run switch the account off, then forget", ErrRefused, k, link.AccountID)
		}
		if link.Part == identity.Contributor && link.Applied.Active {
			return out, fmt.Errorf("%w: %s adds to account %s, so that the next run would write it all down again; take the person out of source %s, or %s first, then forget", ErrRefused, k, link.AccountID, k.Source, plan.Command("link release", k.String()))
		}
	}
	run, err := e.newRun(l.ctx, "forget", o, l.current().Token)
	if err != nil {
		return out, err
	}
	out.Run = run.ID
	err = e.forget(l, c.key, keys, &out)
	run.Message = fmt.Sprintf("forgot what %d rows hold of %s", out.Rows, out.Key)
	return out, e.finish(ctx, &run, &Report{RunID: run.ID, Status: state.RunDone}, err)
}

func (e *Engine) forget(l *lease, key audit.Key, keys []identity.Key, out *Forgotten) error {
	if err := e.seal(l.ctx, l.current(), out.Run); err != nil { // or values would be gone before they were sealed
		return err
	}
	rows, err := e.o.Store.AuditRows(l.ctx, state.RowFilter{Keys: keys})
	if err != nil {
		return fmt.Errorf("read the history of %s: %w", keys[0], err)
	}
	if err := e.unchanged(l.ctx, key, batchesOf(rows)); err != nil {
		return err
	}
	f := state.Forgetting{Keys: keys}
	n, err := e.namesNow(l.ctx, keys)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Personal == "" {
			continue
		}
		p, err := audit.ReadPersonal(r)
		if err != nil {
			return fmt.Errorf("%w: %w; mmsync audit verify says what became of the history", ErrRefused, err)
		}
		n.learn(p)
		f.Rows = append(f.Rows, key.Forget(r))
	}
	f.Words = n.words()
	elsewhere, err := e.mentions(l.ctx, keys, n, out)
	if err != nil {
		return err
	}
	if err := e.unchanged(l.ctx, key, batchesOf(elsewhere)); err != nil {
		return err
	}
	for _, r := range elsewhere {
		f.Rows = append(f.Rows, key.Forget(r))
	}
	if err := e.o.Store.ForgetPerson(l.ctx, l.current(), f); err != nil {
		return err
	}
	out.Rows, out.Elsewhere = len(f.Rows), len(elsewhere)
	return nil
}

// rekeyed gives the Key, and those under which the same person was known before or
// since, as far as the history says.
func (e *Engine) rekeyed(ctx context.Context, k identity.Key) ([]identity.Key, error) {
	keys, asked := []identity.Key{k}, map[string]bool{}
	for at := 0; at < len(keys); at++ {
		rows, err := e.o.Store.AuditRows(ctx, state.RowFilter{Keys: keys[at : at+1]})
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", keys[at], err)
		}
		for i := range rows {
			account := rows[i].AccountID
			if account == "" || asked[account] {
				continue
			}
			asked[account] = true
			moves, err := e.o.Store.AuditRows(ctx, state.RowFilter{Person: account})
			if err != nil {
				return nil, fmt.Errorf("read the history of account %s: %w", account, err)
			}
			keys = follow(keys, moves)
		}
		link, err := e.linkOf(ctx, keys[at])
		if err != nil {
			return nil, fmt.Errorf("read the link of %s: %w", keys[at], err)
		}
		if link == nil || asked[link.AccountID] {
			continue
		}
		asked[link.AccountID] = true
		moves, err := e.o.Store.AuditRows(ctx, state.RowFilter{Person: link.AccountID})
		if err != nil {
			return nil, fmt.Errorf("read the history of account %s: %w", link.AccountID, err)
		}
		keys = follow(keys, moves)
	}
	return keys, nil
}

// follow adds the Keys from and to which an account of one of them went as the same
// person's.
func follow(keys []identity.Key, moves []audit.Row) []identity.Key {
	for again := true; again; {
		again = false
		for i := range moves {
			p, err := audit.ReadPersonal(moves[i])
			if err != nil {
				continue // forgetting refuses it by its batch
			}
			for _, c := range p.Values {
				from, ok := identity.ParseKey(c.From)
				to, fine := identity.ParseKey(c.To)
				if c.Field != plan.FieldKey || !ok || !fine || slices.Contains(keys, from) == slices.Contains(keys, to) {
					continue
				}
				if again = true; slices.Contains(keys, from) {
					keys = append(keys, to)
				} else {
					keys = append(keys, from)
				}
			}
		}
	}
	return keys
}

// unnamed gives a plan in which nobody is named whose account is given up and whom
// the history has forgotten: what is sealed of it would name him again.
func (e *Engine) unnamed(ctx context.Context, p plan.Plan) (plan.Plan, error) {
	given := func(d *plan.Decision) bool {
		return len(d.Ops) == 1 && (d.Ops[0].Kind == plan.UnlinkAccount || d.Ops[0].Kind == plan.DeleteAccount)
	}
	var keys []identity.Key
	for i := range p.Decisions {
		if d := &p.Decisions[i]; given(d) {
			keys = append(keys, d.Key)
		}
	}
	if len(keys) == 0 {
		return p, nil
	}
	rows, err := e.o.Store.AuditRows(ctx, state.RowFilter{Keys: keys})
	if err != nil {
		return p, fmt.Errorf("read whom the history has forgotten: %w", err)
	}
	forgotten := map[identity.Key]bool{}
	for i := range rows {
		if rows[i].Personal == "" {
			forgotten[rows[i].Key] = true
		}
	}
	if len(forgotten) == 0 {
		return p, nil
	}
	p.Decisions = slices.Clone(p.Decisions)
	for i := range p.Decisions {
		if d := &p.Decisions[i]; given(d) && forgotten[d.Key] {
			d.Username, d.Ref, d.Detail, d.Notes = "", "", "", nil
		}
	}
	return p, nil
}

// whom finds the one Key that a word names: an anchor, source/anchor, an account's
// id or a username, now or in the history.
func (e *Engine) whom(ctx context.Context, person string) (identity.Key, error) {
	var keys []identity.Key
	rows, err := e.o.Store.AuditRows(ctx, state.RowFilter{Person: person})
	if err != nil {
		return identity.Key{}, fmt.Errorf("look for %q in the history: %w", person, err)
	}
	for i := range rows {
		if !rows[i].Key.IsZero() {
			keys = append(keys, rows[i].Key)
		}
	}
	links, err := e.o.Store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return identity.Key{}, fmt.Errorf("look for %q among the links: %w", person, err)
	}
	for i := range links {
		k := &links[i]
		is := state.IsKey(k.Key, person) || k.AccountID == person || strings.EqualFold(k.Applied.Profile.Username, person)
		if is || k.Observed != nil && strings.EqualFold(k.Observed.Username, person) {
			keys = append(keys, k.Key)
		}
	}
	slices.SortFunc(keys, identity.Key.Compare)
	switch keys = slices.Compact(keys); len(keys) {
	case 0:
		if k, ok := identity.ParseKey(person); ok && slices.ContainsFunc(e.o.Sources, func(s Source) bool { return s.Name() == k.Source }) {
			return k, nil // the journal may hold somebody who was only ever held
		}
		return identity.Key{}, fmt.Errorf("%w: nobody is known as %q, neither in the history nor among the links; give a username, an account's id or source/anchor", ErrRefused, person)
	case 1:
		return keys[0], nil
	}
	return identity.Key{}, ambiguous(person, keys)
}

// unchanged refuses batches that do not stand as this key sealed them, or in another
// place: taking something out of them would put a proof of ours on what somebody
// edited.
func (e *Engine) unchanged(ctx context.Context, key audit.Key, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	all, err := e.o.Store.AuditBatches(ctx, state.BatchFilter{})
	if err != nil {
		return fmt.Errorf("list the batches of the history: %w", err)
	}
	for _, id := range ids {
		at := slices.IndexFunc(all, func(b audit.Batch) bool { return b.ID == id })
		if at < 0 {
			return changedBatch(id)
		}
		b := all[at]
		// Batch 1 alone follows none; a lost key leaves a batch without one to follow.
		if id > 1 && (at == 0 || all[at-1].ID != id-1 || len(b.Previous) > 0 && !bytes.Equal(b.Previous, all[at-1].Seal)) {
			return changedBatch(id)
		}
		rows, err := e.o.Store.AuditRows(ctx, state.RowFilter{FromBatch: id, ToBatch: id})
		if err != nil {
			return fmt.Errorf("read batch %d of the history: %w", id, err)
		}
		part := audit.Export{Batches: all[at : at+1], Rows: rows}
		found, err := audit.Verify(key, part.Batches, part.All(), audit.Scope{Part: true})
		if err != nil {
			return err
		}
		if !found.Verdict.Whole() {
			return changedBatch(id)
		}
	}
	return nil
}

// errChanged says that somebody changed the history.
var errChanged = errors.New("changed history")

func changedBatch(id int64) error {
	return changedError(fmt.Sprintf("%s: batch %d of the history does not stand as it was sealed with this key, and nothing is taken out of what somebody may have changed; see mmsync audit verify", ErrRefused, id))
}

// changedError is a refusal that tells of a change.
type changedError string

func (e changedError) Error() string { return string(e) }

func (changedError) Unwrap() []error { return []error{ErrRefused, errChanged} }

func batchesOf(rows []audit.Row) []int64 {
	ids := make([]int64, len(rows))
	for i := range rows {
		ids[i] = rows[i].Batch
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
