package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"strconv"
	"unicode/utf8"
)

// FormatVersion is the version of the JSON form. It is additive within a major
// version: readers ignore keys they do not know.
const FormatVersion = "1.0"

// Digest identifies what the plan would do: every op of every decision in
// order, and nothing that changes by itself, such as how long reading took. Two
// plans with the same digest make the same calls.
func (p Plan) Digest() string {
	h := sha256.New()
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if len(d.Ops) == 0 {
			continue
		}
		put(h, d.Key.Source, d.Key.Anchor, string(d.Action), d.AccountID, strconv.Itoa(d.Chain), strconv.Itoa(len(d.Ops)))
		for _, op := range d.Ops {
			how := strconv.FormatBool(op.Parks)
			if op.ByDelete {
				how += ", by delete"
			}
			if op.Detour != "" {
				how += ", detour " + string(op.Detour)
			}
			if op.SpaceID != "" {
				how += ", in " + op.SpaceID
			}
			put(h, string(op.Kind), how, strconv.Itoa(len(op.Changes)))
			for _, c := range op.Changes {
				put(h, string(c.Field), c.From, c.To)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ShortDigest is the form people read and type: the first eight digits.
func (p Plan) ShortDigest() string {
	d := p.Digest()
	return d[:4] + "-" + d[4:8]
}

// put writes fields with their lengths, so that no two lists look the same.
// Bytes that are no UTF-8 count as what JSON makes of them, so that a plan that
// was written and read again keeps its digest.
func put(h hash.Hash, fields ...string) {
	var n [8]byte
	for _, f := range fields {
		if !utf8.ValidString(f) {
			f = string([]rune(f))
		}
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
}

type document struct {
	FormatVersion string         `json:"format_version"`
	Digest        string         `json:"digest"`
	Counts        map[Action]int `json:"counts"`
	Plan
}

// MarshalJSON gives one document with format_version, digest and counts.
func (p Plan) MarshalJSON() ([]byte, error) {
	type bare Plan // without this method
	counts := map[Action]int{}
	for i := range p.Decisions {
		counts[p.Decisions[i].Action]++
	}
	if p.Decisions == nil {
		p.Decisions = []Decision{}
	}
	return json.Marshal(struct {
		FormatVersion string         `json:"format_version"`
		Digest        string         `json:"digest"`
		Counts        map[Action]int `json:"counts"`
		bare
	}{FormatVersion, p.Digest(), counts, bare(p)})
}

// Decode reads what MarshalJSON wrote. It refuses another major version and a
// document whose digest does not fit its decisions.
func Decode(data []byte) (Plan, error) {
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return Plan{}, fmt.Errorf("read plan: %w", err)
	}
	if len(doc.FormatVersion) < 2 || doc.FormatVersion[:2] != FormatVersion[:2] {
		return Plan{}, fmt.Errorf("read plan: format version %s is not %s", quote(doc.FormatVersion), FormatVersion)
	}
	if got := doc.Plan.Digest(); got != doc.Digest {
		return Plan{}, fmt.Errorf("read plan: its digest is %s, but its decisions give %s: it was changed", quote(doc.Digest), got)
	}
	return doc.Plan, nil
}
