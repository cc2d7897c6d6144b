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
	things   map[string]*plan.Belongings // by account, of whom it was looked
	refused  map[identity.Key][]string
	members  map[string]identity.Memberships // by account id
	unread   map[identity.Key]bool           // whom the source has and this read did not come to
	voiced   map[identity.Key]plan.Voice     // what contributors say, where it is kept apart
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
		intents: map[identity.Key]string{}, unseen: map[identity.Key]bool{}, busy: map[identity.Key]time.Time{}, said: map[identity.Key]*plan.Said{}, stops: map[identity.Key]*plan.Word{}, offs: map[identity.Key]*plan.Word{}, formerly: map[string]bool{}, owns: map[string]bool{}, things: map[string]*plan.Belongings{}, refused: map[identity.Key][]string{},
		members: map[string]identity.Memberships{},
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
	facts.PeopleUnknown = map[string]int{}
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
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(w.desired)), func(k identity.Key) bool { return w.unread[k] && w.links[k] == nil })
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
		if w.unread[k] {
			o.Desired, o.Absence = nil, plan.Absence{Doubt: "source " + k.Source + " was not read whole"}
		}
		o.Stopped, o.Off, o.Barred = w.stopped(k), w.offs[k], w.bars
		if o.Link != nil && o.Link.Part == identity.Owner {
			o.Voices = w.voices(o.Link.AccountID)
			if o.Desired != nil && w.policy.ManyVoices() {
				o.Desired, o.Awards = plan.Merge(o.Desired, o.Voices, w.policy)
			}
		}
		own := ""
		if o.Link != nil {
			own = o.Link.AccountID
			if !o.Unseen {
				o.Linked = show(w.accounts[own])
				o.Memberships = w.members[own]
			}
			o.Owns = w.things[own]
		}
		if d := o.Desired; d != nil {
			o.People = w.people(d, facts.PeopleUnknown)
			o.ByUsername = hold(byName[strings.ToLower(d.Profile.Username)], own)
			o.ByEmail = hold(byMail[strings.ToLower(d.Profile.Email)], own)
			if d.Auth.Data != "" {
				o.ByAuth = hold(byAuth[d.Auth.Data], own)
			}
			if id := w.matched(k); id != "" {
				o.Match = hold(w.accounts[id], "")
			}
		}
		obs = append(obs, o)
	}
	return obs
}

// matched gives the account of the one person of another source whose match key a new
// entry has, if nobody of the same source has it or speaks about that account already.
func (w *world) matched(k identity.Key) (account string) {
	d := w.desired[k]
	if w.links[k] != nil || d.MatchKey == "" {
		return ""
	}
	for o, x := range w.desired {
		if o != k && o.Source == k.Source && w.links[o] == nil && !w.unread[o] && x.MatchKey == d.MatchKey && x.Active && x.Fault == "" {
			return ""
		}
	}
	for to, l := range w.links {
		if l.Part != identity.Owner || l.Applied.MatchKey != d.MatchKey || to.Source == k.Source {
			continue
		}
		if account != "" {
			return ""
		}
		account = l.AccountID
	}
	for o, l := range w.links {
		if l.Part == identity.Contributor && l.AccountID == account && o.Source == k.Source && l.Applied.Active {
			return ""
		}
	}
	return account
}

// voices are what the contributors of an account say, or said when they were read last.
func (w *world) voices(account string) []plan.Voice {
	var out []plan.Voice
	for _, k := range slices.SortedFunc(maps.Keys(w.links), identity.Key.Compare) {
		l := w.links[k]
		if l.Part != identity.Contributor || l.AccountID != account {
			continue
		}
		if v, apart := w.voiced[k]; apart {
			out = append(out, v)
			continue
		}
		v := plan.Voice{Key: k, Standing: plan.Speaks, Profile: l.Applied.Profile, Owned: l.Applied.Owned, Roles: l.Applied.Roles}
		if v.Owned == 0 {
			v.Standing = plan.Unknown
		}
		a, absent := w.absence[k]
		switch d := w.desired[k]; {
		case d != nil && d.Fault != "":
			v.Stale = "its entry cannot be used now"
		case d != nil:
			v.Standing, v.Profile, v.Owned, v.Roles = plan.Speaks, d.Profile, d.Owned, d.Roles
			if !d.Active {
				v.Standing = plan.Gone
			}
		case absent && a.Complete:
			v.Standing = plan.Gone
		default:
			v.Stale = "source " + k.Source + " was not read whole"
		}
		out = append(out, v)
	}
	return out
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
		case "things":
			w.readThings(t, f[1:])
		case "refused":
			w.refused[key(t, f[1])] = append(w.refused[key(t, f[1])], f[2])
		case "space":
			w.readSpace(t, f[1:])
		case "in":
			w.members[f[1]] = w.memberships(f[2])
		case "rule":
			w.readRule(t, f[1:])
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
		case k == "grace.deleted":
			p.Grace.Deleted = span(t, v)
		case word == "managed":
			rule(of).Managed = roles(v)
		case word == "granted":
			rule(of).Granted = roles(v)
		case k == "custom":
			p.Custom = strings.Split(v, ",")
		case k == "people":
			p.People = strings.Split(v, ",")
		case word == "pictures":
			p.Pictures = append(p.Pictures, plan.PicturePolicy{Source: of, Always: v == "always"})
		case word == "authority":
			p.Authority = append(p.Authority, plan.Authority{Attribute: identity.Attribute(of), Sources: strings.Split(v, ",")})
		case k == "roles_from":
			p.RoleSources = strings.Split(v, ",")
		case word == "contributes":
			by, only, _ := strings.Cut(v, ",")
			p.Contributing = append(p.Contributing, plan.Contributing{Source: of, By: plan.Field(by), Only: only == "only"})
		case word == "hands_over":
			p.HandsOver = append(p.HandsOver, plan.HandsOver{Source: of, To: strings.Split(v, ",")})
		case word == "kept":
			rule(of).Kept = roles(v)
		case word == "asked":
			rule(of).Asked = roles(v)
		case word == "guests":
			rule(of).Guests, rule(of).Guest = true, plan.Lost(v)
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
		case k == "for_good":
			p.ForGood = &plan.ForGood{After: span(t, v)}
		case k == "detour":
			p.Detour = true
		case k == "delete_endpoint":
			p.DeleteEndpoint = true
		case k == "restore":
			p.RestoreOnReturn = true
		case k == "disable_on_return":
			p.DisableOnReturn = true
		case k == "disable_tokens":
			p.DisableTokens = true
		case k == "disable_bots":
			p.DisableBots = true
		case k == "on":
			p.Deactivate = plan.Triggers{
				Disabled: strings.Contains(v, "disabled"), Missing: strings.Contains(v, "missing"), OutOfScope: strings.Contains(v, "out_of_scope"),
			}
		case k == "readd":
			p.ReaddRemoved = true
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

func (w *world) readThings(t *testing.T, f []string) {
	t.Helper()
	var b plan.Belongings
	for _, x := range f[1:] {
		switch k, v, _ := strings.Cut(x, "="); k {
		case "token":
			b.Tokens = append(b.Tokens, plan.Leftover{Kind: plan.LeftToken, ID: v, OwnerID: f[0]})
		case "bot":
			b.Bots = append(b.Bots, plan.Leftover{Kind: plan.LeftBot, ID: v + "-id", OwnerID: f[0], Name: v})
		case "hidden":
			b.Hidden = v
		default:
			t.Fatalf("things: unknown word %q", x)
		}
	}
	w.things[f[0]] = &b
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
		case "domains":
			w.facts.Domains = strings.Split(v, ",")
		case "guest_domains":
			w.facts.GuestDomains = strings.Split(v, ",")
		case "set_back":
			w.facts.SetBack = true
		case "guests_off":
			w.facts.GuestsOff = true
		case "licence":
			w.facts.Licence = plan.Licence{Known: true, Guests: strings.Contains(v, "guests"), Delegated: strings.Contains(v, "roles")}
		case "logins_off":
			w.facts.LoginsOff = strings.Split(v, ",")
		case "custom_off":
			w.facts.CustomOff = v
		case "custom":
			name, why, _ := strings.Cut(v, ":")
			if w.facts.CustomFields == nil {
				w.facts.CustomFields = map[string]string{}
			}
			w.facts.CustomFields[name] = why
		case "people":
			name, why, _ := strings.Cut(v, ":")
			if w.facts.CustomPeople == nil {
				w.facts.CustomPeople = map[string]string{}
			}
			w.facts.CustomPeople[name] = why
		case "picture_of_ldap":
			w.facts.PictureOfLDAP = true
		case "picture_of_saml":
			w.facts.PictureOfSAML = true
		case "locks":
			service, fields, _ := strings.Cut(v, ":")
			if w.facts.Locks == nil {
				w.facts.Locks = plan.Locks{}
			}
			for f := range strings.SplitSeq(fields, ",") {
				w.facts.Locks[service] = w.facts.Locks[service].With(identity.Attribute(f))
			}
		case "no_pictures":
			w.facts.NoPictures = true
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
		case "picture_at":
			a.PictureAt = int64(number(t, v))
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
		l.Applied.Profile, l.Applied.Auth, l.Applied.Roles = a.Profile, a.Auth, a.Roles
	}
	for _, x := range f[2:] {
		k, v, _ := strings.Cut(x, "=")
		if attr, ok := attribute(strings.TrimPrefix(k, "said.")); ok && strings.HasPrefix(k, "said.") {
			if l.Applied.Owned == 0 {
				l.Applied.Profile = identity.Profile{}
			}
			l.Applied.Profile, l.Applied.Owned = l.Applied.Profile.With(attr, v), l.Applied.Owned.With(attr)
			continue
		}
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
		case "applied.roles":
			l.Applied.Roles = roles(v)
		case "applied.auth":
			l.Applied.Auth = login(v)
		case "gave":
			l.Applied.Memberships = w.memberships(v)
		case "ref":
			l.Ref = v
		case "match":
			l.Applied.MatchKey = v
		case "custom":
			name, value, _ := strings.Cut(v, ":")
			if l.Applied.Custom == nil {
				l.Applied.Custom = map[string]string{}
			}
			l.Applied.Custom[name] = value
		case "picture":
			l.Applied.Picture = v
		case "picture_at":
			l.Applied.PictureAt = int64(number(t, v))
		case "picture_refused":
			l.Applied.PictureRefused = v
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
		case "deleted":
			d.Active, d.Deleted = false, moment(t, v)
		case "fault":
			d.Fault = v
		case "roles_unknown":
			d.RolesUnknown = v
		case "in":
			d.Memberships = w.memberships(v)
			for i := range d.Memberships {
				d.Memberships[i].ID = "" // the source does not know it
			}
		case "ref":
			d.Ref = v
		case "match":
			d.MatchKey = v
		case "custom":
			name, value, _ := strings.Cut(v, ":")
			if d.Custom == nil {
				d.Custom = map[string]string{}
			}
			d.Custom[name] = value
		case "person":
			name, value, _ := strings.Cut(v, ":")
			if d.People == nil {
				d.People = map[string]string{}
			}
			d.People[name] = value
		case "picture":
			d.Picture.Hash = v
		case "picture_fault":
			d.Picture.Fault = v
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

// memberships reads "team,team/channel*": a star marks an administrator, and "@id" a
// space that had another id.
func (w *world) memberships(s string) identity.Memberships {
	var list []identity.Membership
	for x := range strings.SplitSeq(s, ",") {
		x, admin := strings.CutSuffix(x, "*")
		name, id, other := strings.Cut(x, "@")
		if !other {
			id = w.facts.Spaces[name].ID
		}
		list = append(list, identity.Membership{Space: name, ID: id, Admin: admin})
	}
	return identity.NewMemberships(list...)
}

func (w *world) readSpace(t *testing.T, f []string) {
	t.Helper()
	s := plan.Space{ID: "id-" + f[0], Room: -1}
	if team, channel := identity.TeamOf(f[0]); channel {
		s.TeamID = "id-" + team
	}
	for _, x := range f[1:] {
		k, v, _ := strings.Cut(x, "=")
		switch k {
		case "missing":
			s.ID, s.Trouble = "", plan.SpaceMissing
		case "unmade":
			_, title, _ := strings.Cut(f[0], "/")
			s.ID, s.Trouble, s.Make = "", plan.SpaceUnmade, &plan.Making{Title: cmp.Or(v, title, f[0])}
		case "public":
			s.Make.Public = true
		case "along":
			s.Make.Along = true
		case "busy":
			s.Make.Busy = moment(t, v)
		case "archived":
			s.Trouble = plan.SpaceArchived
		case "by_groups":
			s.Trouble = plan.SpaceByGroups
		case "for_all":
			s.ForAll = true
		case "domains":
			s.Domains = strings.Split(v, ",")
		case "email":
			s.Email = v
		case "room":
			s.Room = number(t, v)
		default:
			t.Fatalf("space: unknown word %q", x)
		}
	}
	if w.facts.Spaces == nil {
		w.facts.Spaces = map[string]plan.Space{}
	}
	w.facts.Spaces[f[0]] = s
}

func (w *world) readRule(t *testing.T, f []string) {
	t.Helper()
	r := plan.SpaceRule{Name: f[1]}
	for _, x := range f[2:] {
		switch x {
		case "strict":
			r.Strict = true
		case "admins":
			r.Admins = true
		default:
			t.Fatalf("rule: unknown word %q", x)
		}
	}
	p := &w.policy
	i := slices.IndexFunc(p.Memberships, func(a plan.MembershipAuthority) bool { return a.Source == f[0] })
	if i < 0 {
		i = len(p.Memberships)
		p.Memberships = append(p.Memberships, plan.MembershipAuthority{Source: f[0]})
	}
	p.Memberships[i].Spaces = append(p.Memberships[i].Spaces, r)
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
