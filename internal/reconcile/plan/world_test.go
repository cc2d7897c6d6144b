package plan_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// world is everything a plan is made from: what sources want, what the server
// has, what mmsync remembers. Golden plans read one from text, the property
// test makes them up and lets plans change them.
type world struct {
	policy   plan.Policy
	facts    plan.Facts
	now      time.Time
	desired  map[identity.Key]*identity.Identity
	accounts map[string]*identity.Account
	links    map[identity.Key]*identity.Link
	absence  map[identity.Key]plan.Absence
	intents  map[identity.Key]string // account id
	unseen   map[identity.Key]bool
	busy     map[identity.Key]time.Time
	said     map[identity.Key]*plan.Said
	stops    map[identity.Key]*plan.Word // the zero Key: everybody; one without an anchor: a source
	offs     map[identity.Key]*plan.Word
	bars     []plan.Bar
	formerly map[string]bool
	owns     map[string]bool
	refused  map[identity.Key][]string
	sources  []plan.SourceSummary
	target   plan.TargetSummary
}

func newWorld() *world {
	return &world{
		policy: plan.Policy{
			Create: true, Update: true, Reactivate: true, AdoptByAuth: true, NeverBelow: 1,
			Deactivate: plan.Triggers{Disabled: true, Missing: true, OutOfScope: true},
			Grace:      plan.Grace{Missing: 72 * time.Hour, OutOfScope: 24 * time.Hour},
		},
		facts: plan.Facts{Version: "11.6.0", AuthDataVisible: true, LDAPLocked: true, SeatsLeft: -1, Protected: map[string]string{}},
		now:   time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), desired: map[identity.Key]*identity.Identity{},
		accounts: map[string]*identity.Account{}, links: map[identity.Key]*identity.Link{}, absence: map[identity.Key]plan.Absence{},
		intents: map[identity.Key]string{}, unseen: map[identity.Key]bool{}, busy: map[identity.Key]time.Time{}, said: map[identity.Key]*plan.Said{}, stops: map[identity.Key]*plan.Word{}, offs: map[identity.Key]*plan.Word{}, formerly: map[string]bool{}, owns: map[string]bool{}, refused: map[identity.Key][]string{},
	}
}

// observe does what the engine does with listings: one observation for each Key
// that is wanted or linked.
func (w *world) observe() []plan.Observation {
	byName, byMail, byAuth := map[string]*identity.Account{}, map[string]*identity.Account{}, map[string]*identity.Account{}
	owner := map[string]identity.Key{}
	for k, l := range w.links {
		if l.Part != identity.Contributor {
			owner[l.AccountID] = k
		}
	}
	facts := w.facts
	for _, id := range slices.Sorted(maps.Keys(w.accounts)) {
		a := w.accounts[id]
		byName[strings.ToLower(a.Username)], byMail[strings.ToLower(a.Email)] = a, a
		if a.Auth.Data != "" && facts.AuthDataVisible {
			byAuth[a.Auth.Data] = a
		}
		if a.HumanAdmin() {
			facts.HumanAdmins = append(facts.HumanAdmins, id)
		}
	}
	slices.Sort(facts.HumanAdmins)
	show := func(a *identity.Account) *identity.Account {
		if a != nil && !facts.AuthDataVisible {
			c := *a
			c.Auth.Data = ""
			return &c
		}
		return a
	}
	hold := func(a *identity.Account, own string) *plan.Holder {
		if a == nil || a.ID == own {
			return nil
		}
		return &plan.Holder{Account: show(a), Owner: owner[a.ID], Formerly: w.formerly[a.ID], OwnsBotOrToken: w.owns[a.ID]}
	}
	keys := slices.Collect(maps.Keys(w.desired))
	for k := range w.links {
		if w.desired[k] == nil {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, identity.Key.Compare)
	obs := make([]plan.Observation, 0, len(keys))
	for _, k := range keys {
		o := plan.Observation{
			Key: k, Desired: w.desired[k], Absence: w.absence[k], Link: w.links[k], Unseen: w.unseen[k],
			ByIntent: w.accounts[w.intents[k]], Refused: w.refused[k], Facts: &facts, Now: w.now,
		}
		if w.busy[k].After(w.now) {
			o.Busy = w.busy[k]
		}
		o.Stopped, o.Off, o.Barred = w.stopped(k), w.offs[k], w.bars
		own := ""
		if o.Link != nil {
			own = o.Link.AccountID
			if !o.Unseen {
				o.Linked = show(w.accounts[own])
			}
		}
		if d := o.Desired; d != nil {
			o.ByUsername = hold(byName[strings.ToLower(d.Profile.Username)], own)
			o.ByEmail = hold(byMail[strings.ToLower(d.Profile.Email)], own)
			if d.Auth.Data != "" {
				o.ByAuth = hold(byAuth[d.Auth.Data], own)
			}
		}
		obs = append(obs, o)
	}
	return obs
}

// heard is observe once the operator has spoken about what the plan without his
// word held back or, if that is nothing, would do.
func (w *world) heard() []plan.Observation {
	obs := w.observe()
	if len(w.said) == 0 {
		return obs
	}
	for _, d := range plan.Build(obs, w.policy).Decisions {
		if s := w.said[d.Key]; s != nil {
			if s.AccountID, s.Ops = d.AccountID, d.Withheld; len(s.Ops) == 0 {
				s.Ops = d.Ops
			}
		}
	}
	for i := range obs {
		obs[i].Said = w.said[obs[i].Key]
	}
	return obs
}

func (w *world) build() plan.Plan {
	p := plan.Build(w.heard(), w.policy)
	p.Sources = w.sources
	p.Target.URL, p.Target.Active, p.Target.Estimate = w.target.URL, w.target.Active, w.target.Estimate
	return p
}

// parseWorld reads the form that testdata/plans/README explains.
func parseWorld(t *testing.T, text string) *world {
	t.Helper()
	w := newWorld()
	links := [][]string{}
	wanted := [][]string{}
	for n, l := range strings.Split(text, "\n") {
		f := fields(t, l)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "policy":
			w.readPolicy(t, f[1:])
		case "facts":
			w.readFacts(t, f[1:])
		case "source":
			w.readSource(t, f[1:])
		case "target":
			w.target = plan.TargetSummary{URL: f[1], Active: number(t, f[2])}
			if len(f) > 3 {
				w.target.Estimate = span(t, strings.TrimPrefix(f[3], "takes="))
			}
		case "account":
			a := readAccount(t, f[1:])
			w.accounts[a.ID] = a
		case "desired":
			wanted = append(wanted, f[1:])
		case "link":
			links = append(links, f[1:])
		case "absent":
			w.readAbsence(t, f[1:])
		case "intent":
			w.intents[key(t, f[1])] = f[2]
		case "unseen":
			w.unseen[key(t, f[1])] = true
		case "busy":
			w.busy[key(t, f[1])] = moment(t, f[2])
		case "said":
			w.said[key(t, f[1])] = &plan.Said{ID: "a1", Approves: f[2] == "yes", Words: "ann@host said no on 2026-11-22: not her"}
		case "hold":
			w.readWord(t, w.stops, f[1:])
		case "bar":
			w.readBar(t, f[1:])
		case "off":
			w.readWord(t, w.offs, f[1:])
			w.offs[key(t, f[2])].About = "switched off"
		case "formerly":
			w.formerly[f[1]] = true
		case "owns":
			w.owns[f[1]] = true
		case "refused":
			w.refused[key(t, f[1])] = append(w.refused[key(t, f[1])], f[2])
		case "protect":
			w.facts.Protected[f[1]] = f[2]
		default:
			t.Fatalf("line %d of the world: unknown word %q", n+1, f[0])
		}
	}
	for _, f := range links {
		w.readLink(t, f)
	}
	for _, f := range wanted {
		w.readDesired(t, f)
	}
	return w
}

// fields cuts a line at blanks; a value may be a Go string literal.
func fields(t *testing.T, l string) []string {
	t.Helper()
	var out []string
	for l = strings.TrimSpace(l); l != ""; l = strings.TrimSpace(l) {
		end := strings.IndexAny(l, " \t\"")
		switch {
		case end < 0:
			return append(out, l)
		case l[end] != '"':
			out = append(out, l[:end])
			l = l[end:]
		default:
			q, err := strconv.QuotedPrefix(l[end:])
			require.NoError(t, err, l)
			v, err := strconv.Unquote(q)
			require.NoError(t, err, l)
			out = append(out, l[:end]+v)
			l = l[end+len(q):]
		}
	}
	return out
}

func key(t *testing.T, s string) identity.Key {
	t.Helper()
	k, ok := identity.ParseKey(s)
	require.True(t, ok, "key %q", s)
	return k
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04", s)
	require.NoError(t, err)
	return at
}

func span(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	require.NoError(t, err)
	return d
}

func roles(s string) identity.Roles { return identity.NewRoles(strings.Split(s, ",")...) }

func login(s string) identity.Auth {
	service, data, _ := strings.Cut(s, ":")
	return identity.Auth{Service: service, Data: data}
}

func attribute(name string) (identity.Attribute, bool) {
	a := identity.Attribute(name)
	return a, slices.Contains(identity.AllAttributes(), a)
}

func (w *world) readPolicy(t *testing.T, f []string) {
	t.Helper()
	p := &w.policy
	rule := func(source string) *plan.RoleAuthority {
		i := slices.IndexFunc(p.Roles, func(r plan.RoleAuthority) bool { return r.Source == source })
		if i < 0 {
			p.Roles = append(p.Roles, plan.RoleAuthority{Source: source})
			i = len(p.Roles) - 1
		}
		return &p.Roles[i]
	}
	for _, s := range f {
		k, v, _ := strings.Cut(s, "=")
		word, of, _ := strings.Cut(k, ".")
		switch {
		case k == "grace.missing":
			p.Grace.Missing = span(t, v)
		case k == "grace.out_of_scope":
			p.Grace.OutOfScope = span(t, v)
		case k == "grace.disabled":
			p.Grace.Disabled = span(t, v)
		case word == "managed":
			rule(of).Managed = roles(v)
		case word == "granted":
			rule(of).Granted = roles(v)
		case k == "reserved":
			p.ReservedNames = strings.Split(v, ",")
		case k == "never_below":
			p.NeverBelow = number(t, v)
		case k == "user_owned":
			for a := range strings.SplitSeq(v, ",") {
				p.UserOwned = p.UserOwned.With(identity.Attribute(a))
			}
		case k == "report_drift":
			for a := range strings.SplitSeq(v, ",") {
				p.ReportDrift = p.ReportDrift.With(identity.Attribute(a))
			}
		case k == "email_domains":
			p.EmailDomains = strings.Split(v, ",")
		case k == "change_auth":
			p.ChangeAuth = true
		case k == "revoke_on_auth":
			p.RevokeOnAuth = true
		case k == "recreate_gone":
			p.RecreateGone = true
		case k == "delete_endpoint":
			p.DeleteEndpoint = true
		case k == "on":
			p.Deactivate = plan.Triggers{
				Disabled: strings.Contains(v, "disabled"), Missing: strings.Contains(v, "missing"), OutOfScope: strings.Contains(v, "out_of_scope"),
			}
		case k == "no_create":
			p.Create = false
		case k == "no_update":
			p.Update = false
		case k == "no_reactivate":
			p.Reactivate = false
		case k == "no_adopt":
			p.AdoptByAuth = false
		default:
			t.Fatalf("policy: unknown word %q", s)
		}
	}
}

func (w *world) readFacts(t *testing.T, f []string) {
	t.Helper()
	for _, s := range f {
		k, v, _ := strings.Cut(s, "=")
		switch k {
		case "version":
			w.facts.Version = v
		case "seats":
			w.facts.SeatsLeft = number(t, v)
		case "auth_hidden":
			w.facts.AuthDataVisible = false
		case "ldap_free":
			w.facts.LDAPLocked = false
		case "verify_email":
			w.facts.EmailVerification = true
		case "set_back":
			w.facts.SetBack = true
		default:
			t.Fatalf("facts: unknown word %q", s)
		}
	}
}

func (w *world) readSource(t *testing.T, f []string) {
	t.Helper()
	s := plan.SourceSummary{Name: f[0], Complete: true}
	for _, x := range f[1:] {
		k, v, _ := strings.Cut(x, "=")
		switch k {
		case "entries":
			s.Entries = number(t, v)
		case "last":
			s.Last = number(t, v)
		case "linked":
			s.Linked = number(t, v)
		case "faults":
			s.Faults = number(t, v)
		case "took":
			s.Took = span(t, v)
		case "incomplete":
			s.Complete, s.Doubt = false, v
		default:
			t.Fatalf("source: unknown word %q", x)
		}
	}
	w.sources = append(w.sources, s)
}

func readAccount(t *testing.T, f []string) *identity.Account {
	t.Helper()
	a := &identity.Account{ID: f[0], Roles: identity.NewRoles(identity.RoleUser), CreateAt: 1}
	a.Username = f[1]
	a.Email = f[1] + "@example.com"
	for _, x := range f[2:] {
		k, v, _ := strings.Cut(x, "=")
		if attr, ok := attribute(k); ok {
			a.Profile = a.With(attr, v)
			continue
		}
		switch k {
		case "roles":
			a.Roles = roles(v)
		case "auth":
			a.Auth = login(v)
		case "off":
			a.DeleteAt = moment(t, v).UnixMilli()
		case "bot":
			a.Bot = true
		case "remote":
			a.Remote = true
		case "magic_link":
			a.MagicLink = true
		default:
			t.Fatalf("account: unknown word %q", x)
		}
	}
	return a
}

func (w *world) readLink(t *testing.T, f []string) {
	t.Helper()
	l := &identity.Link{Key: key(t, f[0]), AccountID: f[1], Part: identity.Owner, Origin: identity.OriginCreated}
	l.Applied.Active = true
	if a := w.accounts[f[1]]; a != nil {
		l.Applied.Profile, l.Applied.Auth = a.Profile, a.Auth
	}
	for _, x := range f[2:] {
		k, v, _ := strings.Cut(x, "=")
		if attr, ok := attribute(strings.TrimPrefix(k, "applied.")); ok {
			l.Applied.Profile = l.Applied.Profile.With(attr, v)
			continue
		}
		switch k {
		case "contributor":
			l.Part = identity.Contributor
		case "off_by_us": // the server still shows our own delete_at
			l.DeactivatedAt, l.Applied.Active = w.accounts[f[1]].DeleteAt, false
		case "revoked": // a leaver's sessions were ended
			l.Applied.Active = false
		case "chosen": // username with a collision suffix
			l.Applied.Username = v
		case "applied.auth":
			l.Applied.Auth = login(v)
		case "ref":
			l.Ref = v
		case "match":
			l.Applied.MatchKey = v
		default:
			t.Fatalf("link: unknown word %q", x)
		}
	}
	w.links[l.Key] = l
}

// readDesired takes values that are not given from the linked account, so that
// a world names only what differs.
func (w *world) readDesired(t *testing.T, f []string) {
	t.Helper()
	d := &identity.Identity{Key: key(t, f[0]), Active: true, Owned: identity.AttributesOf(identity.Username, identity.Email)}
	if l := w.links[d.Key]; l != nil && w.accounts[l.AccountID] != nil {
		a := w.accounts[l.AccountID]
		d.Profile.Username, d.Profile.Email = a.Username, a.Email
	}
	email := false
	for _, x := range f[1:] {
		k, v, _ := strings.Cut(x, "=")
		if attr, ok := attribute(k); ok {
			d.Profile, d.Owned = d.Profile.With(attr, v), d.Owned.With(attr)
			email = email || attr == identity.Email
			continue
		}
		switch k {
		case "auth":
			d.Auth = login(v)
		case "roles":
			d.Roles = roles(v)
		case "inactive":
			d.Active = false
		case "fault":
			d.Fault = v
		case "ref":
			d.Ref = v
		case "match":
			d.MatchKey = v
		default:
			t.Fatalf("desired: unknown word %q", x)
		}
	}
	if d.Profile.Email == "" && !email {
		d.Profile.Email = d.Profile.Username + "@example.com"
	}
	if d.Fault != "" {
		d.Profile, d.Owned = identity.Profile{}, 0
	}
	w.desired[d.Key] = d
}

func (w *world) readAbsence(t *testing.T, f []string) {
	t.Helper()
	k := key(t, f[0])
	a := plan.Absence{Complete: true, Reads: 2}
	for _, x := range f[1:] {
		word, v, _ := strings.Cut(x, "=")
		switch word {
		case "since":
			a.Since = moment(t, v)
		case "reads":
			a.Reads = number(t, v)
		case "explicit":
			a.Explicit = true
		case "incomplete":
			a.Complete, a.Doubt = false, v
		default:
			a.Presence = identity.Presence(word)
			require.Contains(t, []identity.Presence{identity.PresenceGone, identity.PresenceOutOfScope, identity.PresencePresent, identity.PresenceUnknown}, a.Presence)
		}
	}
	w.absence[k] = a
}

// stopped gives the widest hold that somebody is under.
func (w *world) stopped(k identity.Key) *plan.Word {
	for _, about := range []identity.Key{{}, {Source: k.Source}, k} {
		if s := w.stops[about]; s != nil {
			return s
		}
	}
	return nil
}

func (w *world) readBar(t *testing.T, f []string) {
	t.Helper()
	b := plan.Bar{Why: f[1]}
	for word := range strings.SplitSeq(f[0], ",") {
		require.Contains(t, plan.Actions(), plan.Action(word))
		b.Actions = append(b.Actions, plan.Action(word))
	}
	if len(f) > 2 {
		b.Until = moment(t, strings.TrimPrefix(f[2], "until="))
	}
	w.bars = append(w.bars, b)
}

func (w *world) readWord(t *testing.T, list map[identity.Key]*plan.Word, f []string) {
	t.Helper()
	said := &plan.Word{ID: f[0], By: "root@host", Since: w.now.Add(-time.Hour)}
	var k identity.Key
	k.Source, k.Anchor, _ = strings.Cut(f[1], "/")
	switch {
	case k.Source == "*":
		k, said.About = identity.Key{}, "everything is held"
	case k.Anchor == "":
		said.About = "source " + k.Source + " is held"
	default:
		said.About = "held"
	}
	for _, x := range f[2:] {
		word, v, _ := strings.Cut(x, "=")
		switch word {
		case "until":
			said.Until = moment(t, v)
		case "reason":
			said.Reason = v
		default:
			t.Fatalf("word of an operator: unknown word %q", x)
		}
	}
	list[k] = said
}

// shuffle gives the observations in another order, fixed by seed.
func shuffle(obs []plan.Observation, seed int) []plan.Observation {
	out := slices.Clone(obs)
	slices.SortFunc(out, func(a, b plan.Observation) int {
		return cmp.Compare(mix(a.Key, seed), mix(b.Key, seed))
	})
	return out
}

func mix(k identity.Key, seed int) uint64 {
	h := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for _, c := range []byte(fmt.Sprint(k)) {
		h = (h ^ uint64(c)) * 0x100000001b3
		h ^= h >> 29
	}
	return h
}
