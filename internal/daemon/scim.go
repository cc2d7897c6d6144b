package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/peer"
	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/sources/scim"
)

// shownMembers is up to how many members a group is shown in the answer to its PATCH.
// That spares clients a GET, and some tests of servers insist on it; Entra asks to be
// spared long lists.
const shownMembers = 100

// scimSource is a source that is pushed, and how its client is treated.
type scimSource struct {
	*scim.Source
	backend *scim.Backend
	lenient protocol.Lenient
}

// scimHandler serves all sources that are pushed, and the endpoint for short-lived
// tokens if it is switched on. The token of a request tells whose resources it sees.
func (d *Daemon) scimHandler(log *slog.Logger, q *quirks) (http.Handler, error) {
	c := d.Config.SCIM
	key, err := Vault(d.Config).Key(true)
	if err != nil {
		return nil, fmt.Errorf("read the key that seals cursors: %w", err)
	}
	served := map[string]*scimSource{}
	o := scim.GateOptions{
		Tokens: d.Store, PerSecond: c.Limits.RequestsPerSecond, Burst: c.Limits.Burst, Lifetime: c.OAuth.TokenLifetime, Logger: log,
	}
	for i := range d.Config.Sources {
		s := &d.Config.Sources[i]
		if s.SCIM == nil {
			continue
		}
		served[s.Name] = d.scimSource(s)
		o.Sources = append(o.Sources, s.Name)
		if s.SCIM.JWT != nil {
			o.Issuers = append(o.Issuers, issuer(s))
		}
	}
	if o.TrustedProxies, err = peer.Parse(c.TrustedProxies); err != nil {
		return nil, err
	}
	seal := key.Derive("short-lived tokens")
	o.Seal = seal[:]
	gate := scim.NewGate(o)
	h, err := protocol.New(protocol.Options{
		Types: []*protocol.ResourceType{scim.UserType(c.Status == config.StatusOnRequest), protocol.GroupType()}, BaseURL: c.PublicURL + c.BasePath, Prefix: c.BasePath,
		Open: opener(gate, served), Noted: q.noted,
		Logger: log, CursorKey: key.Derive("scim cursors"), Limits: protocol.Limits{
			Body: int64(c.Limits.Body), Patch: c.Limits.PatchOperations, BulkOps: c.Limits.BulkOperations, PageMax: c.Limits.Page,
			Rate: -1, // the gate counts
		},
		QuietAbove: shownMembers,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the SCIM endpoint: %w", err)
	}
	return paths(h, c, gate), nil
}

// paths sends what is below the base path to the protocol, whatever it looks like:
// http.ServeMux would redirect, and a redirect loses a body.
func paths(h http.Handler, c config.SCIM, gate *scim.Gate) http.Handler {
	oauth := gate.OAuth()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.OAuth.Enabled && r.URL.Path == "/oauth/token" {
			oauth.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r) // it answers 404 in its own form elsewhere
	})
}

func opener(gate *scim.Gate, served map[string]*scimSource) func(*http.Request) (protocol.Session, error) {
	return func(r *http.Request) (protocol.Session, error) {
		client, err := gate.Open(r)
		if err != nil {
			return protocol.Session{}, err
		}
		s := served[client.Source]
		if s == nil {
			return protocol.Session{}, errors.New("the client's source is not served")
		}
		return protocol.Session{
			Backend: s.backend, Name: client.Source + "/" + client.Name, Lenient: s.lenient,
			Read:  func(t string) bool { return client.May(t, false) == nil },
			Write: func(t string) bool { return client.May(t, true) == nil },
		}, nil
	}
}

func (d *Daemon) scimSource(s *config.Source) *scimSource {
	out := &scimSource{lenient: lenient(s.SCIM)}
	for _, src := range d.Sources {
		if own, ok := src.(*scim.Source); ok && own.Name() == s.Name {
			out.Source = own
		}
	}
	out.backend = scim.NewBackend(scim.BackendOptions{
		Source: out.Source, Store: d.Store, Engine: d.Engine, Inline: d.Config.SCIM.InlineTimeout, UniqueGroups: s.SCIM.Profile == config.ProfileLenient,
		KnownMembers: s.SCIM.Profile == config.ProfileStrict,
		Refuse:       s.SCIM.MattermostConflicts == config.ConflictsRefuse,
	})
	return out
}

// lenient gives the deviations that a source puts up with.
func lenient(s *config.SCIMSource) protocol.Lenient {
	out := protocol.Lenient{}
	if s.Profile == config.ProfileLenient {
		out = protocol.AllLenient()
	}
	for name, on := range s.Quirks {
		out[protocol.Quirk(name)] = on
	}
	out[protocol.QuirkLeaver] = true // in every profile: nobody stays for a fault beside it
	return out
}

// checkQuirks makes sure that the deviations a configuration names exist.
func checkQuirks(c *config.Config, i int) error {
	known := map[string]bool{}
	for _, q := range protocol.Quirks() {
		known[string(q.Name)] = true
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(c.Sources[i].SCIM.Quirks)) {
		if name == string(protocol.QuirkLeaver) {
			faults = append(faults, c.Fault(fmt.Sprintf("sources[%d].quirks.%s", i, name), name+" is always on: whoever is dismissed leaves, whatever else is wrong", "leave the line out"))
			continue
		}
		if !known[name] {
			faults = append(faults, c.Fault(fmt.Sprintf("sources[%d].quirks.%s", i, name), fmt.Sprintf("no quirk is called %q", name), "docs/scim.md lists them"))
		}
	}
	return errors.Join(faults...)
}

func issuer(s *config.Source) scim.Issuer {
	j := s.SCIM.JWT
	return scim.Issuer{
		Source: s.Name, Issuer: j.Issuer, Audience: j.Audience, KeysURL: j.JWKSURL, Discovery: j.Discovery,
		Algorithms: j.Algorithms, Claims: j.Claims, Scopes: j.Scopes,
	}
}
