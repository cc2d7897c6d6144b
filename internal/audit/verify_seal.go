package audit

import (
	"bytes"
	"cmp"
	"slices"
)

// rotation notes a row that says which key was in use until its batch.
func (v *verifier) rotation(r *Row) {
	if r.Kind != KindRun {
		return
	}
	if b, err := ReadBody(*r); err == nil && b.RunKind == RunRotate && b.Keys != nil && b.Keys.From != "" {
		v.from = b.Keys.From
	}
}

// sealed judges the seal of a batch whose contents were looked at.
func (v *verifier) sealed(i int, fits, inOrder bool) {
	b := &v.batches[i]
	found := len(v.report.Findings) > 0 && v.report.Findings[len(v.report.Findings)-1].Batch == b.ID
	known := v.genuine(i)
	age := v.key.gives(b.Seal, func(k *Key) Hex { return k.seal(b) })
	made := age >= 0 && age <= v.oldest
	if made {
		v.oldest = age
		v.resolve(fits && v.from != "" && !v.key.knows(v.from))
	}
	unknown := func(kind Verdict, text string) {
		if fits && inOrder && len(v.pending) < mostFindings {
			v.pending = append(v.pending, Finding{Verdict: kind, Batch: b.ID, Run: b.Run, Text: text})
			return
		}
		v.find(kind, b, 0, "%s", text)
	}
	switch {
	case made && !fits && !found:
		v.find(Edited, b, 0, "holds rows that do not add up to what was sealed")
	case made:
	case known != nil && v.key.sealedAs(b, known) && age < 0:
		v.find(Edited, b, 0, "has another seal than it was given")
	case known != nil && bytes.Equal(b.Seal, known) && age < 0:
		unknown(Edited, "reads otherwise than it was sealed")
	case age >= 0:
		v.find(Recomputed, b, 0, "was sealed with an earlier key, and stands behind what a later one sealed")
	case fits && inOrder:
		unknown(Recomputed, "has a seal that was not made with this key, though its rows add up")
	case !found:
		v.find(Edited, b, 0, "holds rows that do not add up, and its seal was not made with this key")
	}
}

// resolve says of the batches of which it was open what became of them: that an
// earlier key made them, or what each looks like.
func (v *verifier) resolve(earlier bool) {
	if len(v.pending) == 0 {
		return
	}
	if first := v.pending[0]; earlier {
		first.Verdict, first.Text = Unproven, "and those after it, up to the batch that names another key, were sealed with an earlier key that is not at hand: not verified"
		v.pending = []Finding{first}
	}
	v.report.Findings = append(v.report.Findings, v.pending...)
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Batch, b.Batch) })
	v.report.Findings = v.report.Findings[:min(len(v.report.Findings), mostFindings)]
	v.pending = nil
}
