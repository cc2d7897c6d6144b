package file

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// Check reads the file as a Snapshot does and tells, part by part, what is well
// and how to mend what is not.
func (s *Source) Check(ctx context.Context) []identity.Finding {
	c := sources.NewCollector(s.o.Mapper, nil)
	r, err := s.read(ctx, c.Add, c.Unreadable)
	if err != nil {
		return []identity.Finding{{Part: "file", Level: identity.LevelFail, Text: err.Error(), Mend: "check path, rights and header row"}}
	}
	findings := []identity.Finding{{Part: "file", Level: identity.LevelOK, Text: fmt.Sprintf("%s was read", r.name)}}
	if names := r.unknownNames(); len(names) > 0 {
		findings = append(findings, identity.Finding{
			Part: "mapping", Level: identity.LevelWarn,
			Text: "no entry has " + strings.Join(names, ", "),
			Mend: "check the spelling in the mapping; if it is right, nobody has a value yet",
		})
	} else {
		findings = append(findings, identity.Finding{Part: "mapping", Level: identity.LevelOK, Text: "every mapped attribute occurs"})
	}
	for _, d := range r.doubts {
		c.Doubt(d)
	}
	snap := c.Snapshot(s.directory())
	switch {
	case snap.Entries == 0:
		findings = append(findings, identity.Finding{Part: "entries", Level: identity.LevelFail, Text: "the file holds no people", Mend: "check what writes it"})
	case !snap.Complete:
		findings = append(findings, identity.Finding{Part: "entries", Level: identity.LevelFail, Text: snap.Incomplete, Mend: "until it is mended nobody is deactivated for being absent"})
	default:
		findings = append(findings, identity.Finding{Part: "entries", Level: identity.LevelOK, Text: fmt.Sprintf("%d people", snap.Entries)})
	}
	return append(findings, sources.FaultFindings(snap)...)
}

// unknownNames lists mapped names that no entry has; only CSV declares its
// names, and there a wrong one is an error.
func (r *read) unknownNames() []string {
	return slices.DeleteFunc(r.o.Mapper.Attributes(), func(n string) bool { return r.names[strings.ToLower(n)] != "" })
}

// Reach tells whether the file can be opened, without reading it.
func (s *Source) Reach(context.Context) error {
	f, err := s.open()
	if err != nil {
		return fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	return nil
}
