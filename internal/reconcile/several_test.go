package reconcile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// several are sources that have people in common: corp owns the accounts, hr knows the
// same people by their numbers, owns nothing, and decides about positions.
type several struct {
	corp, hr []human
	// corpDown and hrDown say that a source cannot be read, hrHalf that its read breaks
	// off after the first person.
	corpDown, hrDown, hrHalf bool
	change                   func(*reconcile.Options)
}

func (s *several) wiring(t testing.TB) wiring {
	return wiring{change: func(o *reconcile.Options) {
		roomy(o)
		corp, hr := directory(t, s.corp), directoryOf(t, "hr", s.hr)
		if s.hrHalf {
			hr = brokenOff{directoryOf(t, "hr", s.hr[:min(1, len(s.hr))])}
		}
		if s.corpDown {
			corp = unreadable{corp}
		}
		if s.hrDown {
			hr = unreadable{hr}
		}
		o.Sources = []reconcile.Source{corp, hr}
		o.Policy.Authority = []plan.Authority{{Attribute: identity.Position, Sources: []string{"hr"}}}
		o.Policy.Contributing = []plan.Contributing{{Source: "hr", By: plan.FieldMatchKey, Only: true}}
		if s.change != nil {
			s.change(o)
		}
	}}
}

// brokenOff is a source whose read does not come to its end. Asked directly it knows
// nothing of those whom it did not come to.
type brokenOff struct{ reconcile.Source }

func (b brokenOff) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	s, err := b.Source.Snapshot(ctx, known)
	s.Complete, s.Incomplete = false, "the line broke"
	return s, err
}

func (brokenOff) Confirm(context.Context, []string) (map[string]identity.Presence, error) {
	return nil, errUnreadable
}

func (w *world) several(s *several) reconcile.Report {
	w.t.Helper()
	rep, err := w.sync(nil, s.wiring(w.t))
	require.NoError(w.t, err)
	return rep
}

func (w *world) title(name string) string {
	w.t.Helper()
	u, found := w.sim.UserByName(name)
	require.True(w.t, found)
	return u.Position
}

// united is a world in which hr has found out who of corp is who.
func united(t *testing.T) (*world, *several) {
	t.Helper()
	w := newWorld(t)
	s := &several{
		corp: []human{{ID: "1", UID: "anna", Title: "Clerk", Number: "11"}, {ID: "2", UID: "bert", Title: "Clerk", Number: "12"}, {ID: "3", UID: "cora", Title: "Clerk"}},
		hr:   []human{{ID: "h1", UID: "anna", Title: "Boss", Number: "11"}, {ID: "h2", UID: "bert", Title: "Cook", Number: "12"}, {ID: "h4", UID: "x4", Title: "Guard", Number: "14"}},
	}
	w.several(s) // the accounts
	w.several(s) // who is who
	w.several(s) // the values
	require.Equal(t, "Boss", w.title("anna"))
	require.Equal(t, "Cook", w.title("bert"))
	require.Equal(t, "Clerk", w.title("cora"))
	_, found := w.sim.UserByName("x4")
	require.False(t, found, "who only adds gets no account")
	require.Equal(t, identity.Contributor, w.links()["h1"].Part)
	require.Equal(t, identity.OriginMatch, w.links()["h1"].Origin)
	require.Nil(t, w.links()["h1"].Observed)
	return w, s
}

func TestEngine_Several_authority(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	rest := func() {
		t.Helper()
		w.several(s)
		w.sim.ResetCalls()
		rep := w.several(s)
		require.False(t, rep.Plan.Effective())
		require.Empty(t, writes(w.sim.Calls()), "nothing differs")
		require.True(t, w.settled()["1"], "the owner is settled with what the other says")
	}
	rest()

	// The other's word alone has the owner decided again.
	s.hr[0].Title = "Head"
	rep := w.several(s)
	require.Equal(t, []plan.Credit{{Field: plan.Field(identity.Position), Source: "hr"}}, rep.Plan.Decisions[0].Credits)
	require.Equal(t, "Head", w.title("anna"))
	rest()

	// So does the owner's, and it does not undo the other's.
	s.corp[0].Mail = "anna.b@example.test"
	w.several(s)
	u, _ := w.sim.UserByName("anna")
	require.Equal(t, "anna.b@example.test", u.Email)
	require.Equal(t, "Head", u.Position)
	s.corp[0].Title = "Somebody"
	require.False(t, w.several(s).Plan.Effective())
	rest()

	// Whoever leaves the one source leaves its word, and nothing else.
	s.hr[0].Left = "yes"
	w.several(s)
	require.Equal(t, "Somebody", w.title("anna"))
	require.True(t, w.active("anna"))
	rest()
	s.hr[0].Left = ""
	w.several(s)
	require.Equal(t, "Head", w.title("anna"))
	s.hr = s.hr[1:]
	w.several(s)
	require.Equal(t, "Somebody", w.title("anna"))
	require.True(t, w.active("anna"))
	rest()
}

func TestEngine_Several_partialReads(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*several){
		"away":   func(s *several) { s.hrDown = true },
		"broken": func(s *several) { s.hrHalf = true },
		"shrunk": func(s *several) {
			s.hr = nil
			s.change = func(o *reconcile.Options) { o.Limits.MinEntriesPercent = 30 }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := united(t)
			cut(s)
			for range 2 {
				require.False(t, w.several(s).Plan.Effective())
			}
			require.Equal(t, "Cook", w.title("bert"), "what it said last stands")

			// The owner's source has him no more: who the other one is still known to have
			// stays, whatever cannot be read.
			s.corp = s.corp[:1]
			rep := w.several(s)
			require.True(t, w.active("bert"))
			require.False(t, w.active("cora"), "nobody else has her")
			require.Equal(t, plan.HandOver, decided(t, rep, "2").Reason)
			require.Contains(t, decided(t, rep, "2").Detail, "may still have the person")
		})
	}
}

func decided(t *testing.T, rep reconcile.Report, anchor string) plan.Decision {
	t.Helper()
	for _, d := range rep.Plan.Decisions {
		if d.Key.Anchor == anchor {
			return d
		}
	}
	require.Fail(t, "nothing was decided of "+anchor)
	return plan.Decision{}
}

func TestEngine_Several_handOver(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	s.change = func(o *reconcile.Options) {
		o.Policy.HandsOver = []plan.HandsOver{{Source: "corp", To: []string{"hr"}}}
	}
	s.corp = s.corp[:1]
	rep := w.several(s)
	require.Equal(t, plan.HandedOver, decided(t, rep, "2").Reason)
	require.True(t, w.active("bert"))
	links := w.links()
	require.Equal(t, identity.Contributor, links["2"].Part)
	require.Equal(t, identity.Owner, links["h2"].Part)
	w.several(s)
	require.True(t, w.active("bert"))

	// He may come back to the old one, which adds to his account then.
	s.corp = append(s.corp, human{ID: "2", UID: "bert", Title: "Clerk", Number: "12"})
	w.several(s)
	require.True(t, w.links()["2"].Applied.Active)

	// The new owner decides from now on, with no grace that the old one began.
	s.hr[1].Left = "yes"
	w.several(s)
	require.False(t, w.active("bert"))
}

// A second source that is pushed: what is pushed goes to the account at once, though
// the owner's source is not read, and changes nothing that it has no say in.
func TestEngine_Several_pushed(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t), newClient()
	corp := []human{{ID: "1", UID: "anna", Title: "Clerk", Mail: "anna@example.test"}}
	with := wiring{change: func(o *reconcile.Options) {
		roomy(o)
		o.Sources = []reconcile.Source{directory(t, corp), c}
		o.Policy.Authority = []plan.Authority{{Attribute: identity.Position, Sources: []string{"idp"}}}
		o.Policy.Contributing = []plan.Contributing{{Source: "idp", Only: true}}
	}}
	c.people["id-0001"] = pushedID(1, titled("Boss"))
	_, err := w.sync(nil, with)
	require.NoError(t, err)
	_, err = w.act(nil, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
		return e.Contribute(ctx, reconcile.RunOptions{Reason: "same", RequestedBy: "test"}, "idp/id-0001", "anna", false)
	})
	require.NoError(t, err)

	// That he contributes has him worked on, like a push of his.
	p := w.service(c, with)
	require.Eventually(t, func() bool { return w.title("anna") == "Boss" }, time.Minute, 10*time.Millisecond)
	p.keep(pushedID(1, titled("Head")))
	require.Eventually(t, func() bool { return w.title("anna") == "Head" }, time.Minute, 10*time.Millisecond)
	p.keep(pushedID(1, leaver))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.engine.Push(ctx, pushedID(1, nil).Key))
	p.stop()
	u, _ := w.sim.UserByName("anna")
	require.True(t, u.Active(), "who only adds switches nobody off")
	require.Equal(t, "anna@example.test", u.Email)
	require.Equal(t, "Head", u.Position, "what corp wants is not known before it is read")
	_, err = w.sync(nil, with)
	require.NoError(t, err)
	require.Equal(t, "Clerk", w.title("anna"))
}

// TestEngine_Several_nobodyIsLost lets sources lose people, come and go and break off in
// any order: whom any of them is still known to have is never switched off for being
// missing, and once all can be read nothing is left to be done.
func TestEngine_Several_nobodyIsLost(t *testing.T) {
	t.Parallel()
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 8))
			w, s := united(t)
			all := *s
			handsOver := r.IntN(2) == 0
			s.change = func(o *reconcile.Options) {
				if handsOver {
					o.Policy.HandsOver = []plan.HandsOver{{Source: "corp", To: []string{"hr"}}}
				}
				if r.IntN(2) == 0 {
					o.Sources[0], o.Sources[1] = o.Sources[1], o.Sources[0]
				}
			}
			some := func(from []human) (out []human) {
				for _, h := range from {
					if r.IntN(4) > 0 {
						out = append(out, h)
					}
				}
				return out
			}
			numbers := map[string]string{"anna": "11", "bert": "12"}
			has := map[string]bool{"corp11": true, "corp12": true, "hr11": true, "hr12": true}
			for range 6 {
				s.corp, s.hr = some(all.corp), some(all.hr)
				s.corpDown, s.hrHalf = r.IntN(4) == 0, r.IntN(4) == 0
				s.hrDown = !s.corpDown && r.IntN(4) == 0
				was := map[string]bool{"anna": w.active("anna"), "bert": w.active("bert")}
				w.several(s)
				for name, number := range numbers {
					// What was heard last counts until something else is heard.
					if !s.corpDown {
						has["corp"+number] = numbered(s.corp, number)
					}
					if !s.hrDown && (!s.hrHalf || numbered(s.hr[:min(1, len(s.hr))], number)) {
						has["hr"+number] = numbered(s.hr, number)
					}
					if was[name] && (has["corp"+number] || has["hr"+number]) {
						require.True(t, w.active(name), "%s is in a source, and was switched off", name)
					}
				}
			}
			s.corp, s.hr, s.corpDown, s.hrDown, s.hrHalf = all.corp, all.hr, false, false, false
			for range 4 {
				w.several(s)
			}
			require.True(t, w.active("anna"))
			require.True(t, w.active("bert"))
			require.Equal(t, "Boss", w.title("anna"))
			require.Equal(t, "Cook", w.title("bert"))
			rep := w.several(s)
			require.False(t, rep.Plan.Effective(), "%+v", rep.Plan.Decisions)
		})
	}
}

func numbered(list []human, number string) bool {
	return slices.ContainsFunc(list, func(h human) bool { return h.Number == number })
}

// garbled is a source in which somebody's entry is where it was, and its id cannot be read.
type garbled struct {
	reconcile.Source
	anchor string
}

func (g garbled) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	s, err := g.Source.Snapshot(ctx, nil)
	at := slices.IndexFunc(s.Identities, func(i identity.Identity) bool { return i.Key.Anchor == g.anchor })
	s.Unreadable = append(s.Unreadable, identity.Problem{Ref: s.Identities[at].Ref, Message: "the id cannot be read"})
	s.Identities = slices.DeleteFunc(s.Identities, func(i identity.Identity) bool { return i.Key.Anchor == g.anchor || known != nil && known(i) })
	return s, err
}

func (g garbled) Confirm(_ context.Context, anchors []string) (map[string]identity.Presence, error) {
	out := map[string]identity.Presence{}
	for _, a := range anchors {
		out[a] = identity.PresenceGone // nobody has an id that cannot be read
	}
	return out, nil
}

func TestEngine_Several_garbled(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	s.change = func(o *reconcile.Options) { o.Sources[1] = garbled{o.Sources[1], "h1"} }
	s.corp = s.corp[1:]
	for range 3 {
		rep := w.several(s)
		require.True(t, w.active("anna"), "who may be there still, in an entry that nobody can read")
		require.NotContains(t, strings.Join(rep.Problems, "\n"), "was not read whole")
		require.Contains(t, decisionOn(t, rep, "1").Detail, "may still have the person: entries of source hr could not be read")
	}
	s.change = nil
	s.hr = s.hr[1:]
	w.several(s)
	w.several(s)
	require.False(t, w.active("anna"))
}

// A process that dies anywhere while an account changes hands leaves nothing that the
// next run does not finish, and nobody without his account.
func TestEngine_Several_crash(t *testing.T) {
	t.Parallel()
	for _, kind := range []cutKind{beforeWrite, afterWrite} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			hit, cuts, apart := true, 0, step(2)
			for n := 1; hit; n += apart {
				w, s := united(t)
				s.change = func(o *reconcile.Options) {
					o.Policy.HandsOver = []plan.HandsOver{{Source: "corp", To: []string{"hr"}}}
				}
				s.corp, s.hr[0].Title = s.corp[:1], "Head"
				c := &crash{at: int64(n), kind: kind}
				with := s.wiring(t)
				with.wrap, with.network = func(s state.Store) state.Store { return mortal{s, c} }, c
				_, err := w.sync(nil, with)
				if hit = c.dead.Load(); hit {
					cuts++
				} else {
					require.NoError(t, err)
				}
				w.several(s)
				w.several(s)
				rep := w.several(s)
				require.False(t, rep.Plan.Effective(), "cut at %d: %+v", n, rep.Plan.Decisions)
				require.Equal(t, "Head", w.title("anna"))
				require.True(t, w.active("bert"))
				require.False(t, w.active("cora"))
				links := w.links()
				require.Equal(t, identity.Owner, links["h2"].Part, "cut at %d", n)
				require.Equal(t, identity.Contributor, links["2"].Part, "cut at %d", n)
				ops, err := w.journal()
				require.NoError(t, err)
				handed := 0
				for _, op := range ops {
					if _, hands := op.Op.To(plan.FieldKey); hands && (op.Status == state.OpDone || op.Status == state.OpObserved) {
						handed++
					}
				}
				require.Equal(t, 1, handed, "cut at %d: the journal tells it once", n)
			}
			require.Greater(t, cuts*apart, 10, "places to cut at")
		})
	}
}

func (w *world) journal() ([]state.OpRecord, error) {
	s := w.store()
	defer s.Close()
	return s.Ops(w.t.Context(), state.OpFilter{})
}

// A run that reads only what changed hears a contributor as well, and what the owner
// changes does not undo what the other said.
func TestEngine_Several_changes(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	log := &ledgered{people: s.corp}
	s.change = func(o *reconcile.Options) {
		hr := o.Sources[1]
		o.Sources = []reconcile.Source{log.source(t), still{hr}}
		o.FullRead = map[string]time.Duration{"corp": time.Hour, "hr": time.Hour}
	}
	w.several(s)
	changes := func() reconcile.Report {
		t.Helper()
		rep, err := w.run(t.Context(), nil, s.wiring(t), reconcile.RunOptions{Changes: true})
		require.NoError(t, err)
		require.Equal(t, "changes", log.reads[len(log.reads)-1])
		return rep
	}
	log.set(human{ID: "1", UID: "anna", Title: "Sweeper", Mail: "anna.b@example.test", Number: "11"})
	changes()
	u, _ := w.sim.UserByName("anna")
	require.Equal(t, "anna.b@example.test", u.Email)
	require.Equal(t, "Boss", u.Position, "the other's word stands")

	// Of corp nothing is read then.
	s.hr[1].Title = "Head"
	rep := changes()
	require.Equal(t, "Head", w.title("bert"))
	require.Equal(t, []plan.Credit{{Field: plan.Field(identity.Position), Source: "hr"}}, decided(t, rep, "2").Credits)
	u, _ = w.sim.UserByName("bert")
	require.Equal(t, "bert@example.test", u.Email)
	require.True(t, u.Active())
	w.several(s)
	require.False(t, w.several(s).Plan.Effective())
}

// still is a source that tells all its people as changed, each time.
type still struct{ reconcile.Source }

func (s still) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	got, err := s.Source.Snapshot(ctx, known)
	got.Mark = "all"
	return got, err
}

func (s still) Changes(ctx context.Context, _ string) (identity.Delta, error) {
	got, err := s.Source.Snapshot(ctx, nil)
	return identity.Delta{Source: "hr", Mark: "all", Identities: got.Identities[1:2]}, err
}

func (s still) Read(context.Context, []string) ([]identity.Identity, error) { return nil, nil }

// What an operator holds of a contributor is his word: the last one stands.
func TestEngine_Several_held(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	store := w.store()
	stop, err := reconcile.Hold(t.Context(), store, byHand, identity.Key{Source: "hr"}, 0)
	require.NoError(t, err)
	s.hr[0].Title, s.hr[1].Left = "Thief", "yes"
	rep := w.several(s)
	require.False(t, rep.Plan.Effective())
	require.Equal(t, "Boss", w.title("anna"))
	s.corp = s.corp[:1]
	w.several(s)
	require.True(t, w.active("bert"), "what is held says nothing of who has left")
	_, err = reconcile.ReleaseHold(t.Context(), store, byHand, func(x state.Stop) bool { return x.ID == stop.ID })
	require.NoError(t, err)
	require.NoError(t, store.Close())
	w.several(s)
	require.Equal(t, "Thief", w.title("anna"))
	require.False(t, w.active("bert"))
}

// Nobody is guessed at: a value that more than two have in common is told, and links
// nobody.
func TestEngine_Several_twoOfOneNumber(t *testing.T) {
	t.Parallel()
	w, s := united(t)
	s.hr = append(s.hr, human{ID: "h7", UID: "g1", Title: "Ghost", Number: "17"}, human{ID: "h8", UID: "g2", Title: "Ghost", Number: "17"}, human{ID: "h9", UID: "g3", Title: "Ghost", Number: "11"})
	s.corp[2].Number = "17"
	w.several(s)
	rep := w.several(s)
	require.Equal(t, []string{
		"corp/3, hr/h7, hr/h8 have the same match key, so that nobody of hr is taken for somebody whom another source has; say who it is with mmsync link contribute",
		"hr/h9 has the same match key as corp/1, for whom hr/h1 speaks already; if that is the same person under a new id: mmsync link release hr/h1 --reason …",
	}, rep.Problems)
	for _, a := range []string{"h7", "h8", "h9"} {
		require.NotContains(t, w.links(), a)
	}
	require.Equal(t, "Clerk", w.title("cora"))

	// Under a new id, once the old one is gone, he is found again by himself.
	s.hr = s.hr[1:]
	w.several(s)
	w.several(s)
	require.Equal(t, identity.Contributor, w.links()["h9"].Part)
	require.Equal(t, "Ghost", w.title("anna"))
}

// Who gets an account is known by the number that his own source has for him, at once:
// the old owner's would find somebody else in his source.
func TestEngine_Several_handOverKeepsTheHeirsNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := &several{
		corp: []human{{ID: "1", UID: "anna", Number: "c-11"}, {ID: "2", UID: "bert", Number: "c-12"}},
		hr:   []human{{ID: "h1", UID: "anna", Number: "h-11"}, {ID: "h2", UID: "bert", Number: "h-12"}},
		change: func(o *reconcile.Options) {
			o.Policy.Contributing = []plan.Contributing{{Source: "hr", By: plan.Field(identity.Email), Only: true}}
			o.Policy.HandsOver = []plan.HandsOver{{Source: "corp", To: []string{"hr"}}}
		},
	}
	w.several(s)
	w.several(s)
	w.several(s)
	require.Equal(t, "h-12", w.links()["h2"].Applied.MatchKey)
	s.corp = s.corp[:1]
	rep := w.several(s)
	require.Equal(t, plan.HandedOver, decided(t, rep, "2").Reason)
	require.Equal(t, identity.Owner, w.links()["h2"].Part)
	require.Equal(t, "h-12", w.links()["h2"].Applied.MatchKey)
	require.Equal(t, "c-12", w.links()["2"].Applied.MatchKey)
}
