package ldap

import (
	"slices"
	"strings"
	"sync"

	"github.com/mmsync/mmsync/internal/sources"
)

// otherNames are the names that the mapping has for attributes, where a server answers in
// another one: an attribute type may have several names and has an OID (RFC 4512 2.5), and
// OpenLDAP answers in the first of them (seen with slapd 2.5). They are known from the
// schema that was read last, which in a process that reads changes alone is one search.
type otherNames struct {
	mapped []string
	mu     sync.Mutex
	known  bool
	of     map[string][]string // names of the mapping, by what comes instead, folded
}

// learn takes the names from a schema; nil is one that the server does not tell.
func (o *otherNames) learn(known schema) {
	of := map[string][]string{}
	for _, name := range o.mapped {
		base, options, _ := strings.Cut(name, ";")
		list := known[strings.ToLower(base)]
		for _, other := range list {
			if options != "" {
				other += ";" + options
			}
			isMapped := slices.ContainsFunc(o.mapped, func(m string) bool { return strings.EqualFold(m, other) })
			if !strings.EqualFold(other, name) && (isMapped || !strings.EqualFold(list[0], base)) {
				of[strings.ToLower(other)] = append(of[strings.ToLower(other)], name)
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known, o.of = true, of
}

func (o *otherNames) told() (of map[string][]string, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of, o.known
}

// rename gives a record values under the names that the mapping has for them.
func (s *session) rename(rec *sources.Record) error {
	if s.others == nil || len(s.others.mapped) == 0 {
		return nil
	}
	of, known := s.others.told()
	if !known {
		root, err := s.root()
		if err != nil {
			return err
		}
		if _, _, err := s.schema(root); err != nil {
			return err
		}
		of, _ = s.others.told()
	}
	if len(of) == 0 {
		return nil
	}
	for _, came := range rec.Names() {
		for _, name := range of[strings.ToLower(came)] {
			if rec.Values(name) == nil {
				rec.Add(name, rec.Values(came)...)
			}
		}
	}
	return nil
}
