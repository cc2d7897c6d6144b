package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// rebuiltMark names the moment at which the links were rebuilt from an export, until
// an operator accepts that; its Value is the batch with which the export ends.
const rebuiltMark = "rebuilt"

// Rebuilt is what RebuildLinks did.
type Rebuilt struct {
	Run   string
	Head  audit.Head // of the history in the export
	Links int
	// Already says that the links were there, so that nothing was done.
	Already bool
	// Stops and Refused count what operators had said.
	Stops, Refused int
	// Doubts name what could not be had as it was.
	Doubts []string
}

// RebuildLinks makes the links anew from an export of the history, all or none, in a
// store that has none. The seals of the export have to be this key's. Nothing can be
// carried out until AcceptRestore: what was done after the export was made is not
// known. It asks neither sources nor the server.
func (e *Engine) RebuildLinks(ctx context.Context, o RunOptions, from io.Reader) (Rebuilt, error) {
	if e.o.Vault == nil {
		return Rebuilt{}, errNoVault
	}
	export, err := audit.Read(from)
	if err != nil {
		return Rebuilt{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	key, err := e.o.Vault.Key(false)
	if err != nil {
		return Rebuilt{}, fmt.Errorf("%w: nothing proves that the export was not edited: %w", ErrRefused, err)
	}
	if err := proven(&export, key); err != nil {
		return Rebuilt{}, err
	}
	k, err := contents(&export)
	if err != nil {
		return Rebuilt{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	l, err := e.takeLease(ctx)
	if err != nil {
		return Rebuilt{}, err
	}
	defer l.release()
	out := Rebuilt{Head: headOf(&export), Links: len(k.links), Stops: len(k.stops), Refused: len(k.refused), Doubts: k.doubts}
	if out.Already, err = e.rebuiltAlready(l.ctx, k.links); err != nil || out.Already {
		return out, err
	}
	out.Doubts = append(out.Doubts, e.sinceThen(out.Head)...)
	return e.rebuild(l, o, out, &k)
}

// proven refuses an export that is not as it was written, naming the line.
func proven(e *audit.Export, key audit.Key) error {
	r, err := e.Check(key, nil)
	if err != nil {
		return err
	}
	if r.Verdict.Whole() {
		return nil
	}
	f := r.Findings[0]
	what := "the export"
	switch {
	case f.Row > 0:
		what = fmt.Sprintf("row %d of batch %d", f.Row, f.Batch)
	case f.Batch > 0:
		what = fmt.Sprintf("batch %d", f.Batch)
	}
	return fmt.Errorf("%w: line %d of the export: it was %s: %s %s", ErrRefused, e.Line(f), f.Verdict, what, f.Text)
}

// contents gives what the export holds of a store.
func contents(e *audit.Export) (kept, error) {
	var k kept
	var err error
	if e.End != nil {
		k, err = readKept(e.Kept)
	} else if k, err = replayed(e); err == nil {
		k.doubts = append(k.doubts, "the export holds the history alone, so that the links are as the calls left them, and what operators hold, switched off or refused is not among it: say it again")
	}
	if err == nil {
		err = errors.Join(state.CheckLinks(k.links), state.CheckStops(k.stops), state.CheckRefused(k.refused))
	}
	return k, err
}

func headOf(e *audit.Export) audit.Head {
	switch {
	case e.End != nil:
		return e.End.Head
	case len(e.Batches) > 0:
		return audit.HeadOf(e.Batches[len(e.Batches)-1])
	}
	return audit.Head{}
}

// rebuiltAlready refuses a store that has links, unless they are these: then a
// command that was given twice has nothing to do.
func (e *Engine) rebuiltAlready(ctx context.Context, links []identity.Link) (bool, error) {
	there, err := e.o.Store.Links(ctx, state.LinkFilter{})
	if err != nil {
		return false, fmt.Errorf("read links: %w", err)
	}
	if len(there) == 0 {
		return false, nil
	}
	want := make(map[identity.Key]string, len(links))
	for i := range links {
		want[links[i].Key] = links[i].AccountID
	}
	same := len(there) == len(links)
	for i := range there {
		same = same && want[there[i].Key] == there[i].AccountID
	}
	if !same {
		return false, fmt.Errorf("%w: the store has %d links, and only an empty one is rebuilt; name a new one as state.url", ErrRefused, len(there))
	}
	return true, nil
}

// sinceThen says what the note beside the key knows of that the export does not.
func (e *Engine) sinceThen(end audit.Head) []string {
	head, known, err := e.o.Vault.Head()
	if err != nil || !known || head.Batch <= end.Batch {
		return nil
	}
	return []string{fmt.Sprintf("%s.head knows batch %d, and the export ends with batch %d: what was done in between is not known", e.o.Vault.Path(), head.Batch, end.Batch)}
}

// rebuild writes what an export holds. First of all it is noted that nothing may be
// carried out; the links, without which nothing else counts, come last and at once.
// So whatever cuts it off, it can be done again.
func (e *Engine) rebuild(l *lease, o RunOptions, out Rebuilt, k *kept) (Rebuilt, error) {
	s := e.o.Store
	run, err := e.newRun(l.ctx, "rebuild", o, l.current().Token)
	if err != nil {
		return out, err
	}
	out.Run = run.ID
	if err := s.SetMark(l.ctx, l.current(), state.Mark{Name: rebuiltMark, Value: out.Head.Batch, At: run.StartedAt}); err != nil {
		return out, fmt.Errorf("note that the links are rebuilt: %w", err)
	}
	for _, b := range k.bound {
		if known, err := s.Bind(l.ctx, b); errors.Is(err, state.ErrConflict) {
			return out, fmt.Errorf("%w: this store belongs to %s %q (%s), and the export is of %q (%s)", ErrRefused, b.Name, known.ID, known.Note, b.ID, b.Note)
		} else if err != nil {
			return out, fmt.Errorf("bind the store to %s: %w", b.Name, err)
		}
	}
	if err := e.stopAgain(l.ctx, k.stops); err != nil {
		return out, err
	}
	if err := s.RefuseMatches(l.ctx, l.current(), k.refused); err != nil {
		return out, fmt.Errorf("note whose account it is not: %w", err)
	}
	if err := s.PutLinks(l.ctx, l.current(), k.links); err != nil {
		return out, fmt.Errorf("put the links: %w", err)
	}
	run.Status, run.Counts.Done = state.RunDone, len(k.links)
	run.Message = fmt.Sprintf("rebuilt %d links from an export that ends with batch %d and the seal %s", len(k.links), out.Head.Batch, out.Head.Seal)
	if run.FinishedAt, err = s.Now(l.ctx); err != nil {
		return out, fmt.Errorf("read the store's clock: %w", err)
	}
	if err := s.SaveRun(l.ctx, run); err != nil { // sealed when it is accepted
		return out, fmt.Errorf("record the rebuilding: %w", err)
	}
	e.log.InfoContext(l.ctx, "links rebuilt", "run", run.ID, "links", len(k.links), "audit_batch", out.Head.Batch, "audit_seal", out.Head.Seal.String())
	return out, nil
}

// stopAgain puts what operators stopped, but for what is there already.
func (e *Engine) stopAgain(ctx context.Context, stops []state.Stop) error {
	there, err := e.o.Store.Stops(ctx, state.StopFilter{})
	if err != nil {
		return fmt.Errorf("read what operators hold: %w", err)
	}
	known := make(map[string]bool, len(there))
	for i := range there {
		known[there[i].ID] = true
	}
	var again []state.Stop
	for i := range stops {
		if !known[stops[i].ID] {
			again = append(again, stops[i])
		}
	}
	if err := e.o.Store.PutStops(ctx, again); err != nil {
		return fmt.Errorf("hold what was held: %w", err)
	}
	return nil
}

// refuseRebuilt says that the links were rebuilt and nobody has accepted that.
func refuseRebuilt(m state.Mark) error {
	if m.At.IsZero() {
		return nil
	}
	return &HistoryError{Restored: true, Text: fmt.Sprintf("the links were rebuilt on %s from an export that ends with batch %d of a history, and what was done after it is not known; %s", m.At.UTC().Format(time.DateOnly), m.Value, acceptHint)}
}
