package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/scim"
)

// Part is one thing outside that can be checked by itself.
type Part struct {
	Name  string
	Check func(ctx context.Context) []identity.Finding
}

// Examine gives the server and every source, each checkable without the others
// and but for what is kept in the store without it.
func Examine(c *config.Config, o Options) ([]Part, error) {
	o.ReadOnly = true
	client, err := mattermost.New(clientOptions(c, o))
	if err != nil {
		return nil, fmt.Errorf("set up the Mattermost client: %w", err)
	}
	t := mattermost.NewTarget(client, targetOptions(c))
	parts := []Part{{Name: "mattermost", Check: t.Check}}
	list, err := buildSources(c, o.Logger)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		parts = append(parts, Part{Name: s.Name(), Check: func(ctx context.Context) (out []identity.Finding) {
			err := withStore(ctx, c, s, func() error { out = s.Check(ctx); return nil })
			if err != nil {
				out = append(out, identity.Finding{Part: "resources", Level: identity.LevelFail, Text: "what was pushed cannot be read: " + err.Error(), Mend: "see what mmsync doctor --only state says"})
			}
			return out
		}})
	}
	return parts, nil
}

// withStore lends the store to a source that keeps there what is pushed; others need
// none.
func withStore(ctx context.Context, c *config.Config, s Source, f func() error) error {
	pushed, ok := s.(*scim.Source)
	if !ok {
		return f()
	}
	store, err := OpenReady(ctx, c)
	if err != nil {
		return err
	}
	pushed.Use(store)
	return errors.Join(f(), store.Close())
}

// Evaluated is what an expression gave, and for whom.
type Evaluated struct {
	Source, Ref, Value string
	// Absent are attributes that the expression names and the entry lacks, Names
	// those it has.
	Absent, Names []string
}

// Eval evaluates an expression on the first entry that query finds, in the
// named source or, if that is "", in the order of the configuration.
func Eval(ctx context.Context, c *config.Config, log *slog.Logger, source, query, expr string) (Evaluated, bool, error) {
	list, err := buildSources(c, log)
	if err != nil {
		return Evaluated{}, false, err
	}
	for i, s := range list {
		if source != "" && s.Name() != source {
			continue
		}
		m, err := mapper(c, i)
		if err != nil {
			return Evaluated{}, false, err
		}
		var rec sources.Record
		ok := false
		err = withStore(ctx, c, s, func() (err error) { rec, ok, err = s.Lookup(ctx, query); return err })
		if err != nil {
			return Evaluated{}, false, fmt.Errorf("look for %q in source %s: %w", query, s.Name(), err)
		}
		if !ok {
			continue
		}
		v, err := m.Eval(expr, rec)
		if err != nil {
			return Evaluated{}, false, fmt.Errorf("evaluate on %s: %w", rec.Ref, err)
		}
		out := Evaluated{Source: s.Name(), Ref: rec.Ref, Value: v, Names: rec.Names()}
		used, err := m.NamesIn(expr)
		if err != nil {
			return Evaluated{}, false, fmt.Errorf("evaluate on %s: %w", rec.Ref, err)
		}
		for _, name := range used {
			if !slices.ContainsFunc(out.Names, func(n string) bool { return strings.EqualFold(n, name) }) {
				out.Absent = append(out.Absent, name)
			}
		}
		return out, true, nil
	}
	return Evaluated{}, false, nil
}
