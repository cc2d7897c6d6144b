// Package file reads people from a file: LDIF content records (RFC 2849), CSV
// with a header row, or JSON lines. Every read is a whole Snapshot that says
// whether it may prove an absence.
//
// It does not watch the file, write it, or follow LDIF change records and
// URLs; mapping is the business of package sources.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// The formats of Options.Format.
const (
	LDIF      = "ldif"
	CSV       = "csv"
	JSONLines = "jsonl"
)

// Options describe one file.
type Options struct {
	Name   string // of the source; empty takes the Mapper's
	Path   string
	Format string // LDIF, CSV or JSONLines; empty goes by the extension
	Mapper *sources.Mapper
	// FS holds Path; nil is the operating system.
	FS fs.FS
	// Delimiter stands between the cells of a CSV row; empty is a comma.
	Delimiter string
	// Separator stands between several values in one CSV cell; empty means that
	// a cell is one value.
	Separator string
	// Groups names the column or key that lists a person's groups, in CSV and
	// JSON lines; empty is "groups", if there is one.
	Groups string
	// PersonClass is the object class of the LDIF entries that are people;
	// empty takes the usual ones (person, inetOrgPerson, posixAccount, user,
	// account, and entries without any class), but no computers.
	PersonClass string
	// Canary is an anchor, DN or lookup value that must be found; a file without
	// it proves no absence. Empty asks for none.
	Canary string
}

// Source reads one file. It keeps nothing between reads but what pictures are called.
type Source struct {
	o      Options
	reader func(*read) error
	named  named
}

// New checks the options; the file need not exist yet.
func New(o Options) (*Source, error) {
	if o.Mapper == nil {
		return nil, errors.New("file source: no mapping given")
	}
	if o.Name == "" {
		o.Name = o.Mapper.Source()
	}
	if o.Name != o.Mapper.Source() {
		return nil, fmt.Errorf("source %s: the mapping was made for source %s", o.Name, o.Mapper.Source())
	}
	if o.Path == "" {
		return nil, fmt.Errorf("source %s: path is missing; name the file to read", o.Name)
	}
	if o.Groups == "" {
		o.Groups = "groups"
	}
	format := o.Format
	if format == "" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(o.Path)), ".")
	}
	s := &Source{o: o}
	switch format {
	case LDIF, "ldf":
		s.reader = readLDIF
	case CSV:
		s.reader = readCSV
	case JSONLines, "ndjson", "json":
		s.reader = readJSONLines
	default:
		return nil, fmt.Errorf("source %s: the format of %s is unknown; set format to ldif, csv or jsonl", o.Name, sources.Printable(o.Path))
	}
	if n := len([]rune(o.Delimiter)); n > 1 || strings.ContainsAny(o.Delimiter, "\"\r\n") {
		return nil, fmt.Errorf("source %s: delimiter must be one character other than a quote", o.Name)
	}
	return s, nil
}

// Name gives the source's name.
func (s *Source) Name() string { return s.o.Name }

// Snapshot reads and maps the whole file. The error is set only if nothing
// could be used at all: no file, no header, a mapped column that is not there.
// Those for whom known, if not nil, says yes are counted and left out.
func (s *Source) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	c := sources.NewCollector(s.o.Mapper, known)
	r, err := s.read(ctx, c.Add, c.Unreadable)
	if err != nil {
		return identity.Snapshot{}, err
	}
	for _, d := range r.doubts {
		c.Doubt(d)
	}
	if c.Entries() == 0 {
		c.Doubt(fmt.Sprintf("%s holds no people; check what writes it", r.name))
	}
	return c.Snapshot(s.directory()), nil
}

func (s *Source) directory() string {
	if s.o.FS == nil {
		if abs, err := filepath.Abs(s.o.Path); err == nil {
			return "file:" + abs
		}
	}
	return "file:" + s.o.Path
}

// Confirm reads the file again and tells of each anchor whether it is in it.
// Only a complete read without unreadable entries says gone.
func (s *Source) Confirm(ctx context.Context, anchors []string) (map[string]identity.Presence, error) {
	out := make(map[string]identity.Presence, len(anchors))
	for _, a := range anchors {
		out[a] = identity.PresenceUnknown
	}
	if len(anchors) == 0 {
		return out, nil
	}
	snap, err := s.Snapshot(ctx, nil)
	if err != nil {
		return out, fmt.Errorf("confirm who is missing: %w", err)
	}
	present := make(map[string]bool, len(snap.Identities))
	for _, id := range snap.Identities {
		present[id.Key.Anchor] = true
	}
	for _, a := range anchors {
		switch {
		case present[a]:
			out[a] = identity.PresencePresent
		case snap.Complete && len(snap.Unreadable) == 0:
			out[a] = identity.PresenceGone
		}
	}
	return out, nil
}

// Lookup finds one person's raw entry by anchor, DN or file:line, login name or
// e-mail address, in this order of trust.
func (s *Source) Lookup(ctx context.Context, query string) (sources.Record, bool, error) {
	var best sources.Record
	rank := 0
	_, err := s.read(ctx, func(rec sources.Record) {
		if r := s.matches(rec, query); r > rank {
			best, rank = rec, r
		}
	}, func(string, string) {})
	return best, rank > 0, err
}

// matches grades how a query names a record; 0 is not at all.
func (s *Source) matches(rec sources.Record, query string) int {
	if anchor, err := s.o.Mapper.Anchor(rec); err == nil && strings.EqualFold(anchor, query) {
		return 4
	}
	if rec.Ref == query || strings.Contains(query, "=") && sources.DNKey(rec.Ref) == sources.DNKey(query) {
		return 3
	}
	for _, name := range s.o.Mapper.LookupAttributes() {
		if slices.ContainsFunc(rec.Values(name), func(v string) bool { return strings.EqualFold(v, query) }) {
			return 2
		}
	}
	if id, err := s.o.Mapper.Identity(rec); err == nil && query != "" && strings.EqualFold(id.Profile.Username, query) {
		return 1
	}
	return 0
}
