package audit

import (
	"bytes"
	"fmt"
	"iter"
	"math"
)

// Verdict is what became of a history since it was sealed.
type Verdict string

// The verdicts. The first three are a whole history, of which mmsync itself may
// have taken rows or values away; the others say that somebody else changed it, but
// for Unproven, which accuses nobody.
//
// A batch whose contents do not fit its seal is Edited if the contents do not fit
// each other, or the seal is known to be genuine: because the batch after it, whose
// own seal is this key's, names it, or a head kept elsewhere does. It is Recomputed
// if everything in it fits and only the seal is neither this key's nor known from
// elsewhere: digests can be made by anybody, seals cannot. It is Unproven if, besides,
// the first batch after it that one of the keys at hand made says that another key
// was in use until then. An earlier key proves nothing of what comes after the first
// batch of a later one.
const (
	OK         Verdict = "ok"
	Pruned     Verdict = "pruned"     // rows were removed by retention
	Forgotten  Verdict = "forgotten"  // the values of a person were
	Edited     Verdict = "edited"     // something reads otherwise than it was sealed
	Cut        Verdict = "cut"        // something is missing
	Recomputed Verdict = "recomputed" // sealed anew, without the key
	Unproven   Verdict = "unproven"   // sealed with an earlier key that is not at hand
)

// Whole tells whether nobody but mmsync changed anything.
func (v Verdict) Whole() bool { return v == OK || v == Pruned || v == Forgotten }

// Finding is one place where the history is not as it was sealed.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Batch   int64   `json:"batch"`
	Row     int64   `json:"row,omitempty"` // 0: the batch as a whole
	Run     string  `json:"run,omitempty"`
	// Text is half a sentence that goes on from the place.
	Text string `json:"text"`
}

// Report is what Verify found. Its Verdict is that of the first Finding.
type Report struct {
	Verdict   Verdict   `json:"verdict"`
	First     int64     `json:"first_batch"` // 0: there is none
	Last      int64     `json:"last_batch"`
	Rows      int64     `json:"rows"`      // that are there
	Pruned    int64     `json:"pruned"`    // batches
	Forgotten int64     `json:"forgotten"` // rows
	Seal      Hex       `json:"seal"`      // of the last batch
	Findings  []Finding `json:"findings"`
}

// mostFindings is how many places are named; the rest of a broken history adds
// nothing.
const mostFindings = 20

// Scope is what Verify is given beside the chain.
type Scope struct {
	// Head is an end of the chain that was kept elsewhere; nil if there is none.
	Head *Head
	// Part says that the first batch given need not be the first there is.
	Part bool
}

// Verify reads a history, batches and rows each in order of their ids, and tells
// what became of it. The error is that of rows alone.
func Verify(key Key, batches []Batch, rows iter.Seq2[Row, error], s Scope) (Report, error) {
	v := &verifier{key: key, batches: batches, scope: s, report: Report{Verdict: OK}, oldest: math.MaxInt}
	next, stop := iter.Pull2(rows)
	defer stop()
	v.next = next
	if err := v.advance(); err != nil {
		return v.report, err
	}
	for i := range batches {
		if err := v.batch(i); err != nil {
			return v.report, err
		}
	}
	v.resolve(false)
	if err := v.rest(); err != nil {
		return v.report, err
	}
	v.head()
	r := &v.report
	switch {
	case len(r.Findings) > 0:
		r.Verdict = r.Findings[0].Verdict
	case r.Pruned > 0:
		r.Verdict = Pruned
	case r.Forgotten > 0:
		r.Verdict = Forgotten
	}
	return v.report, nil
}

type verifier struct {
	key     Key
	batches []Batch
	scope   Scope
	report  Report

	next func() (Row, error, bool)
	row  *Row // the next one; nil at the end

	// oldest is the age of the oldest key that may still have sealed.
	oldest int
	// pending are batches that none of the keys at hand sealed, until a later one tells
	// whether an earlier key did; from is the fingerprint that such a batch names.
	pending []Finding
	from    string
}

func (v *verifier) advance() error {
	r, err, ok := v.next()
	v.row = nil
	if ok && err == nil {
		v.row = &r
	}
	return err
}

func (v *verifier) find(kind Verdict, b *Batch, row int64, format string, args ...any) {
	if len(v.report.Findings) == mostFindings {
		return
	}
	f := Finding{Verdict: kind, Row: row, Text: fmt.Sprintf(format, args...)}
	if b != nil {
		f.Batch, f.Run = b.ID, b.Run
	}
	v.report.Findings = append(v.report.Findings, f)
}

// genuine gives what the seal of a batch is known to be, from the batch after it
// or from the head; nil if that is not known.
func (v *verifier) genuine(i int) Hex {
	b := &v.batches[i]
	if i+1 < len(v.batches) {
		if next := &v.batches[i+1]; next.ID == b.ID+1 && v.key.Made(*next) {
			return next.Previous
		}
	}
	if h := v.scope.Head; h != nil && (h.Batch == b.ID || h.Batch == 0 && v.is(b, h.Seal)) {
		return h.Seal
	}
	if !b.PrunedAt.IsZero() && v.key.pruned(b) {
		return b.Seal // what we pruned had it
	}
	return nil
}

// is tells whether a seal is the batch's, as it stands or as it should.
func (v *verifier) is(b *Batch, seal Hex) bool {
	return bytes.Equal(b.Seal, seal) || v.key.sealedAs(b, seal)
}

func (v *verifier) batch(i int) error {
	b := &v.batches[i]
	if i == 0 {
		v.report.First = b.ID
	}
	v.report.Last, v.report.Seal = b.ID, b.Seal
	inOrder := v.place(i)
	if err := v.strays(i); err != nil {
		return err
	}
	fits, err := v.rows(b)
	if err != nil {
		return err
	}
	v.sealed(i, fits, inOrder)
	return nil
}

// place tells whether the batch follows the one before.
func (v *verifier) place(i int) bool {
	b := &v.batches[i]
	if i == 0 {
		switch {
		case b.ID < 1, b.ID == 1 && len(b.Previous) > 0:
			v.find(Edited, b, 0, "cannot be the first")
			return false
		case b.ID > 1 && !v.scope.Part:
			v.find(Cut, b, 0, "is the first there is; %s missing", span(1, b.ID-1))
		}
		return true
	}
	last := &v.batches[i-1]
	switch {
	case b.ID <= last.ID:
		v.find(Edited, b, 0, "stands behind batch %d", last.ID)
		return false
	case b.ID > last.ID+1:
		v.find(Cut, b, 0, "follows batch %d; %s missing", last.ID, span(last.ID+1, b.ID-1))
		return true
	case !bytes.Equal(b.Previous, last.Seal) && v.key.Made(*b) && v.key.Made(*last):
		v.find(Edited, last, 0, "is another one than the batch after it was sealed upon")
		return false
	}
	return bytes.Equal(b.Previous, last.Seal) && b.FirstRow == last.FirstRow+last.Rows
}

// strays passes over rows that stand before a batch. Those of batches that are
// missing have been spoken of.
func (v *verifier) strays(i int) error {
	b, before := &v.batches[i], int64(0)
	if i > 0 {
		before = v.batches[i-1].ID
	}
	for v.row != nil && v.row.ID < b.FirstRow {
		if v.row.Batch <= before || v.row.Batch >= b.ID {
			v.find(Edited, b, v.row.ID, "is a row that no batch holds")
		}
		if err := v.advance(); err != nil {
			return err
		}
	}
	return nil
}

// rows reads a batch's rows and tells whether they fit it and themselves.
func (v *verifier) rows(b *Batch) (fits bool, err error) {
	fits = true
	wrong := func(kind Verdict, row int64, format string, args ...any) {
		v.find(kind, b, row, format, args...)
		fits = false
	}
	sum := newRoot()
	want := b.FirstRow
	v.from = ""
	var gap int64 // the first row that is missing; 0 for none
	for v.row != nil && v.row.ID-b.FirstRow < b.Rows {
		r := v.row
		v.report.Rows++
		switch {
		case r.ID < want:
			wrong(Edited, r.ID, "is there twice")
		case r.ID > want && gap == 0:
			gap = want
		}
		want = r.ID + 1
		v.rotation(r)
		if why := v.forgotten(r); why != "" {
			wrong(Edited, r.ID, "%s", why)
		} else if !bytes.Equal(r.digest(), r.Digest) {
			wrong(Edited, r.ID, "does not fit its digest")
		}
		sum.add(r.digest())
		if err := v.advance(); err != nil {
			return false, err
		}
	}
	if sum.n < b.Rows && gap == 0 {
		gap = want
	}
	proof := !b.PrunedAt.IsZero() && v.key.pruned(b)
	switch {
	case proof && sum.n == 0:
		v.report.Pruned++
		return fits, nil
	case (!b.PrunedAt.IsZero() || len(b.PruneMAC) > 0) && sum.n > 0:
		wrong(Edited, 0, "is marked as pruned and has rows")
	case sum.n == 0:
		wrong(Cut, 0, "has lost all of its %d rows, and nothing proves that mmsync pruned them", b.Rows)
	case gap != 0:
		wrong(Cut, gap, "is missing; %d of the batch's %d rows are there", sum.n, b.Rows)
	case fits && !bytes.Equal(sum.sum(), b.Root):
		// Whether the rows or the root are wrong is for the seal to say.
		return false, nil
	}
	return fits, nil
}

// forgotten says what is wrong with what a row holds of a person; "" if nothing
// is.
func (v *verifier) forgotten(r *Row) string {
	switch {
	case r.Personal == "" && len(r.Salt) == 0:
		if !v.key.forgot(r) {
			return "has lost its values, and nothing proves that mmsync forgot them"
		}
		v.report.Forgotten++
		return ""
	case len(r.ForgetMAC) > 0:
		return "is marked as forgotten and has values"
	case !bytes.Equal(personalDigest(r.Salt, r.Personal), r.PersonalDigest):
		return "has other values than were sealed"
	}
	return ""
}

// rest judges rows behind the last batch.
func (v *verifier) rest() error {
	for v.row != nil {
		switch {
		case v.row.Batch > v.report.Last:
			v.find(Cut, &Batch{ID: v.row.Batch, Run: v.row.Run}, v.row.ID, "belongs to a batch that is missing")
		default:
			v.find(Edited, &Batch{ID: v.row.Batch, Run: v.row.Run}, v.row.ID, "is a row that no batch holds")
		}
		if err := v.advance(); err != nil {
			return err
		}
	}
	return nil
}

// head compares the end with the one that was kept elsewhere.
func (v *verifier) head() {
	h := v.scope.Head
	if h == nil {
		return
	}
	for i := range v.batches {
		b := &v.batches[i]
		switch {
		case v.is(b, h.Seal) && (h.Batch == 0 || h.Batch == b.ID):
			return
		case h.Batch == b.ID:
			v.find(Cut, b, 0, "was sealed otherwise than the head kept outside says: the store was put back to an earlier state and sealed anew")
			return
		}
	}
	switch {
	case h.Batch == 0:
		v.find(Cut, &Batch{ID: v.report.Last}, 0, "is the last there is, and no batch has the seal of the head given")
	case h.Batch > v.report.Last:
		v.find(Cut, &Batch{ID: v.report.Last}, 0, "is the last there is; the head kept outside knows more: %s missing", span(v.report.Last+1, h.Batch))
	}
}

func span(from, to int64) string {
	if from == to {
		return fmt.Sprintf("batch %d is", from)
	}
	return fmt.Sprintf("batches %d to %d are", from, to)
}
