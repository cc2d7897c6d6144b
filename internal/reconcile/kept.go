package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// keptLine is one thing that the store keeps beside the history and that its rows do
// not give: what a link was given without a call, and what operators said. Exactly
// one field is set.
type keptLine struct {
	Bound   *state.Binding      `json:"bound,omitempty"`
	Link    *linkLine           `json:"link,omitempty"`
	Stop    *state.Stop         `json:"stop,omitempty"`
	Refused *state.RefusedMatch `json:"refused,omitempty"`
}

// Keep passes on, as texts for an export of the history, what RebuildLinks needs
// beside it: the links, to which server and directories they belong, and what
// operators stopped and refused. Of a person whom the history has forgotten it gives
// ownership alone.
func Keep(ctx context.Context, s state.Store, put func(text string) error) error {
	links, err := s.Links(ctx, state.LinkFilter{})
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	forgotten, err := forgottenPeople(ctx, s)
	if err != nil {
		return err
	}
	lines, err := keptWords(ctx, s, links)
	if err != nil {
		return err
	}
	for i := range links {
		line := newLinkLine(&links[i])
		if forgotten[links[i].Key] {
			line.Ref, line.Forgotten = "", true
			line.Applied = identity.Applied{Active: line.Applied.Active, Roles: line.Applied.Roles}
		}
		lines = append(lines, keptLine{Link: &line})
	}
	for i := range lines {
		text, err := state.Encode(&lines[i])
		if err != nil {
			return fmt.Errorf("write what is kept: %w", err)
		}
		if err := put(text); err != nil {
			return err
		}
	}
	return nil
}

// forgottenPeople gives the Keys of which no row has values any more. Single rows
// lose them as well where they name somebody else who was forgotten.
func forgottenPeople(ctx context.Context, s state.Store) (map[identity.Key]bool, error) {
	gone, err := s.AuditRows(ctx, state.RowFilter{Forgotten: true})
	if err != nil {
		return nil, fmt.Errorf("read whom the history has forgotten: %w", err)
	}
	out := map[identity.Key]bool{}
	var keys []identity.Key
	for i := range gone {
		if k := gone[i].Key; !k.IsZero() && !out[k] {
			out[k] = true
			keys = append(keys, k)
		}
	}
	for part := range slices.Chunk(keys, 1000) {
		rows, err := s.AuditRows(ctx, state.RowFilter{Keys: part})
		if err != nil {
			return nil, fmt.Errorf("read whom the history has forgotten: %w", err)
		}
		for i := range rows {
			if rows[i].Personal != "" {
				delete(out, rows[i].Key)
			}
		}
	}
	return out, nil
}

// keptWords gives what is kept but for the links.
func keptWords(ctx context.Context, s state.Store, links []identity.Link) ([]keptLine, error) {
	var lines []keptLine
	names := []string{"mattermost"}
	for i := range links {
		names = append(names, "source/"+links[i].Key.Source)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		b, err := s.Bound(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read what the store is bound to: %w", err)
		}
		if b.ID != "" {
			lines = append(lines, keptLine{Bound: &b})
		}
	}
	stops, err := s.Stops(ctx, state.StopFilter{Open: true})
	if err != nil {
		return nil, fmt.Errorf("read what operators hold: %w", err)
	}
	for i := range stops {
		lines = append(lines, keptLine{Stop: &stops[i]})
	}
	refused, err := s.RefusedMatches(ctx)
	if err != nil {
		return nil, fmt.Errorf("list refused matches: %w", err)
	}
	for i := range refused {
		lines = append(lines, keptLine{Refused: &refused[i]})
	}
	return lines, nil
}

// kept is what an export says that a store held.
type kept struct {
	bound   []state.Binding
	links   []identity.Link
	stops   []state.Stop
	refused []state.RefusedMatch
	// doubts name what could not be had as it was, one sentence each.
	doubts []string
}

// readKept reads what Keep wrote.
func readKept(texts []string) (kept, error) {
	var k kept
	for i, text := range texts {
		var line keptLine
		if err := strictly(bytes.TrimSpace([]byte(text)), &line); err != nil {
			return k, fmt.Errorf("read what was kept, item %d: %w", i+1, err)
		}
		switch {
		case line.Bound != nil:
			k.bound = append(k.bound, *line.Bound)
		case line.Stop != nil:
			k.stops = append(k.stops, *line.Stop)
		case line.Refused != nil:
			k.refused = append(k.refused, *line.Refused)
		case line.Link != nil:
			link := line.Link.link()
			if line.Link.Forgotten {
				k.doubts = append(k.doubts, fmt.Sprintf("%s: the person was forgotten, so that only whose account it is is known", link.Key))
			}
			k.links = append(k.links, link)
		default:
			return k, fmt.Errorf("read what was kept, item %d: it was written by a later mmsync", i+1)
		}
	}
	return k, nil
}
