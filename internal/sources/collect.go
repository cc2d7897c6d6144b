package sources

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Collector builds one Snapshot from the Records of one read, and finds what
// makes a read unfit to prove an absence: entries without an anchor, an anchor
// that occurs twice, too many entries that cannot be used.
//
// It starts complete; every Doubt makes it incomplete. It is not safe for use
// by many goroutines.
type Collector struct {
	mapper     *Mapper
	known      func(identity.Identity) bool
	started    time.Time
	identities []identity.Identity
	byAnchor   map[string]int // index into identities; negative for those who were known
	unreadable []identity.Problem
	faults     int
	entries    int
	doubts     []string
	ungrouped  int    // active people whose roles are not known
	why        string // of the first of them
}

// maxProblemsPercent is the share of entries that may be unusable before the
// read as a whole is doubted: more is a sign of a wrong mapping or of rights
// that were taken away.
const maxProblemsPercent = 1

// These stand in Collector.byAnchor for somebody who was known.
const (
	droppedActive = -1
	droppedLeaver = -2
)

// NewCollector starts a Snapshot. It asks known, if not nil, about everybody who
// could be mapped, and keeps no more of those for whom the answer is yes than that
// they were there.
func NewCollector(m *Mapper, known func(identity.Identity) bool) *Collector {
	if known == nil {
		known = func(identity.Identity) bool { return false }
	}
	return &Collector{mapper: m, known: known, started: time.Now(), byAnchor: map[string]int{}}
}

// Add maps one Record. The Record is not kept.
func (c *Collector) Add(rec Record) {
	c.entries++
	id, err := c.mapper.Identity(rec)
	if err != nil {
		c.unreadable = append(c.unreadable, identity.Problem{Ref: cleanRef(rec.Ref), Message: err.Error()})
		return
	}
	// Someone who has left needs nothing but his anchor: an emptied entry is no
	// sign of trouble.
	if id.Fault != "" && id.Active {
		c.faults++
	}
	if id.RolesUnknown != "" && id.Active {
		if c.ungrouped++; c.ungrouped == 1 {
			c.why = id.RolesUnknown
		}
	}
	switch i, twice := c.byAnchor[id.Key.Anchor]; {
	case twice && i < 0:
		c.byAnchor[id.Key.Anchor] = len(c.identities)
		c.identities = append(c.identities, c.duplicate(identity.Identity{Key: id.Key, Active: i == droppedActive, Owned: id.Owned}, id))
		return
	case twice:
		c.identities[i] = c.duplicate(c.identities[i], id)
		return
	}
	if id.Fault == "" && c.known(id) {
		anchor := strings.Clone(id.Key.Anchor) // which may be part of all that is known of somebody
		c.byAnchor[anchor] = droppedLeaver
		if id.Active {
			c.byAnchor[anchor] = droppedActive
		}
		return
	}
	c.byAnchor[id.Key.Anchor] = len(c.identities)
	c.identities = append(c.identities, id)
}

// duplicate merges two entries with one anchor into one faulty identity: which
// of them is the person cannot be told. He has left only if both say so.
func (c *Collector) duplicate(a, b identity.Identity) identity.Identity {
	where := "in " + Printable(a.Ref) + " and " + Printable(b.Ref)
	if a.Ref == "" {
		where = "the second time in " + Printable(b.Ref)
	}
	msg := fmt.Sprintf("the anchor %s occurs twice, %s; remove one of the two or map another id_attribute", Printable(a.Key.Anchor), where)
	c.Doubt(msg)
	if a.Fault == "" && a.Active {
		c.faults++
	}
	out := identity.Identity{Key: a.Key, Ref: a.Ref, Active: a.Active || b.Active, Owned: a.Owned, Fault: msg}
	out.Hash = digest(out)
	return out
}

// Unreadable notes an entry that could not even become a Record.
func (c *Collector) Unreadable(ref, message string) {
	c.entries++
	c.unreadable = append(c.unreadable, identity.Problem{Ref: cleanRef(ref), Message: message})
}

// Doubt makes the Snapshot incomplete for a reason: one sentence with cause
// and next step, without a full stop. Only the first few are kept.
func (c *Collector) Doubt(sentence string) {
	if len(c.doubts) < 5 && !slices.Contains(c.doubts, sentence) {
		c.doubts = append(c.doubts, sentence)
	}
}

// Entries counts what was added so far, unreadable ones included.
func (c *Collector) Entries() int { return c.entries }

// Snapshot ends the read.
func (c *Collector) Snapshot(directory string) identity.Snapshot {
	if bad := c.faults + len(c.unreadable); bad*100 > c.entries*maxProblemsPercent {
		c.Doubt(fmt.Sprintf("%d of %d entries cannot be used, more than %d %%: %s", bad, c.entries, maxProblemsPercent, c.firstProblem()))
	}
	slices.SortFunc(c.identities, identity.CompareIdentity)
	now := time.Now()
	return identity.Snapshot{
		Source: c.mapper.source, Identities: c.identities, Unreadable: c.unreadable,
		Complete: len(c.doubts) == 0, Incomplete: strings.Join(c.doubts, "; "), Entries: c.entries,
		RolesUnknown: identity.RolesUnknown(c.ungrouped, c.why), Directory: directory, ReadAt: now, Took: now.Sub(c.started),
	}
}

func (c *Collector) firstProblem() string {
	if len(c.unreadable) > 0 {
		p := c.unreadable[0]
		return "first " + Printable(p.Ref) + ": " + p.Message
	}
	i := slices.IndexFunc(c.identities, func(id identity.Identity) bool { return id.Fault != "" && id.Active })
	if i < 0 {
		return ""
	}
	return "first " + c.identities[i].Fault
}

// FaultFindings tells a self-check of the entries of a Snapshot that cannot be
// mapped: the number and the first three.
func FaultFindings(snap identity.Snapshot) []identity.Finding {
	var texts []string
	for _, p := range snap.Unreadable {
		texts = append(texts, Printable(p.Ref)+": "+p.Message)
	}
	for _, id := range snap.Identities {
		if id.Fault != "" && id.Active {
			texts = append(texts, id.Fault)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return []identity.Finding{{
		Part: "people", Level: identity.LevelWarn,
		Text: fmt.Sprintf("%d of %d cannot be mapped: %s", len(texts), snap.Entries, strings.Join(texts[:min(3, len(texts))], "; ")),
		Mend: "mend the entries, or leave them out with the filter; until then these people are held as they are",
	}}
}
