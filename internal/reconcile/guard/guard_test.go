package guard_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

var update = flag.Bool("update", false, "write the golden texts anew; then read every change")

func TestLimit_Allowed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit      guard.Limit
		base, want int
	}{
		"the count, where it is larger":                     {guard.Limit{Count: 50, Percent: 5, MinimumPopulation: 20}, 100, 50},
		"the percentage, where it is larger":                {guard.Limit{Count: 50, Percent: 5, MinimumPopulation: 20}, 12377, 618},
		"below the minimum population the count alone":      {guard.Limit{Count: 2, Percent: 50, MinimumPopulation: 20}, 19, 2},
		"from the minimum population on the percentage":     {guard.Limit{Count: 2, Percent: 50, MinimumPopulation: 20}, 20, 10},
		"whole people only":                                 {guard.Limit{Percent: 1}, 199, 1},
		"29 % of 100 are 29, whatever binary fractions say": {guard.Limit{Percent: 29}, 100, 29},
		"57 % of 100 are 57":                                {guard.Limit{Percent: 57}, 100, 57},
		"0.57 % of 10,000 are 57":                           {guard.Limit{Percent: 0.57}, 10000, 57},
		"a limit of nothing lets nobody go":                 {guard.Limit{}, 1000, 0},
		"nobody linked: the count":                          {guard.Limit{Count: 50, Percent: 5}, 0, 50},
		"a hundred percent is everybody and not one more":   {guard.Limit{Percent: 100}, 77, 77},
		"a count alone":                                     {guard.Limit{Count: 3}, 100000, 3},
	} {
		require.Equal(t, c.want, c.limit.Allowed(c.base), name)
	}
}

// leavers makes decisions about n people of a source who leave for one reason.
func leavers(source string, from, n int, why plan.Reason, ref string) []plan.Decision {
	out := make([]plan.Decision, 0, n)
	for i := from; i < from+n; i++ {
		out = append(out, plan.Decision{
			Key: identity.Key{Source: source, Anchor: fmt.Sprintf("%04d", i)}, Ref: fmt.Sprintf(ref, i), Action: plan.Deactivate, Reason: why,
			AccountID: fmt.Sprintf("a%04d", i), Username: fmt.Sprintf("user.%04d", i), Detail: "missing since 2026-11-19 12:00 UTC (grace 72 h over)",
			Ops: []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}}},
		})
	}
	return out
}

// used says that a source deactivated people in the window.
func used(source string, n int) guard.Usage {
	return guard.Usage{Done: map[string]map[plan.Class]int{source: {plan.Deactivations: n}}}
}

func limits() guard.Limits {
	return guard.Limits{
		Deactivations: guard.Limit{Count: 50, Percent: 5, MinimumPopulation: 20}, Reactivations: guard.Limit{Count: 50}, RoleRemovals: guard.Limit{Count: 5}, Recreations: guard.Limit{Count: 4}, MinEntriesPercent: 80, Window: 24 * time.Hour,
		Creates: guard.Limit{Count: 500, Percent: 10, MinimumPopulation: 20}, Updates: guard.Limit{Count: 500, Percent: 30, MinimumPopulation: 20},
		Renames: guard.Limit{Count: 50}, EmailChanges: guard.Limit{Count: 50}, AuthChanges: guard.Limit{Count: 50}, AdminGrants: guard.Limit{Count: 70},
	}
}

func source(name string, linked int) plan.SourceSummary {
	return plan.SourceSummary{Name: name, Entries: 11790, Last: 12398, Linked: linked, Complete: true}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	of := func(list []plan.Decision, s ...plan.SourceSummary) plan.Plan {
		return plan.Plan{Decisions: list, Sources: s}
	}
	t.Run("as many as allowed pass, one more trips", func(t *testing.T) {
		t.Parallel()
		require.False(t, guard.Check(of(leavers("ad", 0, 50, plan.SourceMissing, ""), source("ad", 900)), guard.Usage{}, limits()).Tripped())
		require.True(t, guard.Check(of(leavers("ad", 0, 51, plan.SourceMissing, ""), source("ad", 900)), guard.Usage{}, limits()).Tripped())
	})
	t.Run("what was done in the window counts, one by one as well", func(t *testing.T) {
		t.Parallel()
		one := of(leavers("ad", 0, 1, plan.SourceDisabled, ""), source("ad", 850))
		require.False(t, guard.Check(one, used("ad", 49), limits()).Tripped())
		v := guard.Check(one, used("ad", 50), limits())
		require.True(t, v.Tripped())
		require.Equal(t, 900, v.Trips[0].Base, "the base is what was active at the window's start")
	})
	t.Run("a full window trips nothing by itself", func(t *testing.T) {
		t.Parallel()
		require.False(t, guard.Check(of(nil, source("ad", 10)), used("ad", 5000), limits()).Tripped())
	})
	t.Run("each source has its own limit and window", func(t *testing.T) {
		t.Parallel()
		list := append(leavers("hr", 0, 60, plan.SourceDisabled, ""), leavers("ad", 0, 40, plan.SourceDisabled, "")...)
		v := guard.Check(of(list, source("hr", 900), source("ad", 900)), guard.Usage{Done: map[string]map[plan.Class]int{"hr": {plan.Deactivations: 1}, "other": {plan.Deactivations: 100}}}, limits())
		require.Len(t, v.Trips, 1)
		require.Equal(t, "hr", v.Trips[0].Source)
	})
	t.Run("trips are ordered by source", func(t *testing.T) {
		t.Parallel()
		list := append(leavers("hr", 0, 60, plan.SourceDisabled, ""), leavers("ad", 0, 60, plan.SourceDisabled, "")...)
		v := guard.Check(of(list, source("hr", 900), source("ad", 900)), guard.Usage{}, limits())
		require.Equal(t, []string{"ad", "hr"}, []string{v.Trips[0].Source, v.Trips[1].Source})
	})
	t.Run("a source without a summary is guarded too", func(t *testing.T) {
		t.Parallel()
		require.True(t, guard.Check(of(leavers("ad", 0, 51, plan.SourceMissing, "")), guard.Usage{}, limits()).Tripped())
	})
	t.Run("leavers who cannot be switched off count when something is done to them", func(t *testing.T) {
		t.Parallel()
		list := leavers("ad", 0, 51, plan.LockedByLDAP, "")
		for i := range list {
			list[i].Action, list[i].Held = plan.Hold, plan.Deactivate
			list[i].Ops = []plan.Op{{Kind: plan.RevokeSessions}}
		}
		v := guard.Check(of(list, source("ad", 900)), guard.Usage{}, limits())
		require.True(t, v.Tripped())
		held := guard.Withhold(of(list, source("ad", 900)), v)
		require.False(t, held.Effective(), "nobody's sessions are ended either")
		for i := range list {
			list[i].Ops = nil
		}
		require.False(t, guard.Check(of(list, source("ad", 900)), guard.Usage{}, limits()).Tripped(), "shown only")
	})
	t.Run("nothing else counts", func(t *testing.T) {
		t.Parallel()
		list := leavers("ad", 0, 200, plan.SourceMissing, "")
		for i := range list {
			list[i].Action = plan.Actions()[2+i%6]
			list[i].Held, list[i].Ops = "", nil
		}
		require.False(t, guard.Check(of(list, source("ad", 900)), guard.Usage{}, limits()).Tripped())
	})
}

// TestCheck_golden holds the sentences that a guard says to a text that a person
// has read.
func TestCheck_golden(t *testing.T) {
	t.Parallel()
	many := func(groups ...[]plan.Decision) plan.Plan {
		p := plan.Plan{Sources: []plan.SourceSummary{source("corp-ad", 12377)}}
		for _, g := range groups {
			p.Decisions = append(p.Decisions, g...)
		}
		return p
	}
	gone := leavers("corp-ad", 0, 608, plan.SourceMissing, "uid=user.%04d,ou=Sales,dc=example,dc=com")
	off := leavers("corp-ad", 700, 12, plan.SourceDisabled, "uid=user.%04d,ou=Legal,dc=example,dc=com")
	escaped := leavers("corp-ad", 0, 700, plan.OutOfScope, `cn=Doe\, John \\ %04d,ou=Gr\C3\B6\+e,dc=example,dc=com`)
	deleted := leavers("corp-ad", 0, 700, plan.SourceDeleted, "line %d")
	locked := leavers("corp-ad", 0, 700, plan.LockedByLDAP, "uid=user.%04d,\x1b[2Jou=x")
	for i := range locked {
		locked[i].Action, locked[i].Held, locked[i].Ops = plan.Hold, plan.Deactivate, []plan.Op{{Kind: plan.RevokeSessions}}
	}
	small := plan.Plan{Decisions: leavers("hr", 0, 4, plan.SourceDisabled, ""), Sources: []plan.SourceSummary{source("hr", 12)}}
	var b bytes.Buffer
	say := func(title string, p plan.Plan, n int, l guard.Limits) {
		u := used("corp-ad", n)
		v := guard.Check(p, u, l)
		fmt.Fprintf(&b, "== %s\n%s\n%s\n\n", title, v.Message(), guard.Summary(p, u, l))
	}
	one := limits()
	one.Deactivations = guard.Limit{Count: 3, Percent: 50, MinimumPopulation: 20}
	count, percent := limits(), limits()
	count.Deactivations = guard.Limit{Count: 10}
	percent.Deactivations = guard.Limit{Percent: 1}
	half := limits()
	half.Window = 90 * time.Minute
	say("an OU is missing", many(gone, off), 0, limits())
	say("after others in the window", many(gone, off), 20, limits())
	say("a window that is not whole hours", many(gone), 600, half)
	say("the filter selects less", many(escaped), 0, limits())
	say("deleted", many(deleted), 0, limits())
	say("sessions of people the server does not let go", many(locked), 0, limits())
	say("a small source", small, 0, one)
	say("a limit by count", many(off), 0, count)
	say("a limit by percentage", many(gone), 0, percent)
	say("nothing trips", many(off), 20, limits())
	say("two sources", plan.Plan{
		Decisions: append(leavers("hr", 0, 60, plan.SourceDisabled, ""), off...),
		Sources:   []plan.SourceSummary{source("hr", 900), source("corp-ad", 12377)},
	}, 0, limits())
	say("roles", many(demoted("corp-ad", 12, "system_admin system_user")), 20, limits())
	say("accounts that are gone from the server", many(recreated("corp-ad", 9), off), 20, limits())
	say("no source", plan.Plan{}, 0, limits())
	told := func(title string, u guard.Usage, list ...plan.Decision) {
		p := adPlan(list...)
		none := tight(plan.Creates, plan.Renames, plan.EmailChanges, plan.Updates, plan.AuthChanges, plan.AdminGrants)
		fmt.Fprintf(&b, "== %s\n%s\n%s\n\n", title, guard.Check(p, u, none).Message(), guard.Summary(p, u, none))
	}
	told("new accounts", guard.Usage{}, created(7)...)
	told("usernames", guard.Usage{}, updated("1", patch(change("username", "a", "b"))))
	told("e-mails", guard.Usage{}, updated("1", patch(change("email", "a", "b"))))
	told("other fields", guard.Usage{}, updated("1", patch(change("position", "a", "b"), change("last_name", "a", "b"))))
	told("logins", guard.Usage{}, updated("1", login("", "saml"), revoke()))
	told("rights", guard.Usage{}, updated("1", rolesOp("system_user", "system_admin system_user")))
	one.Updates = guard.Limit{Count: 1000}
	lost := adPlan(repeated(40, func(i int) plan.Decision {
		return updated(fmt.Sprint(i), patch(change("position", "x", "")))
	})...)
	u := guard.Usage{Had: map[string]map[plan.Field]int{"ad": {"position": 120}}}
	fmt.Fprintf(&b, "== an attribute is lost\n%s\n\n", guard.Check(lost, u, one).Message())
	group := adPlan(demoted("ad", 4, "system_admin system_user")...)
	u = guard.Usage{Holders: map[string]map[string]int{"ad": {"system_admin": 4}}}
	fmt.Fprintf(&b, "== a group is lost\n%s\n\n", guard.Check(group, u, limits()).Message())
	some := leavers("ad", 0, 4, plan.OutOfScope, "uid=user.%04d,ou=Sales,dc=example,dc=com")
	u = guard.Usage{Rules: &guard.Rules{Since: "20261129-120000-1", Everybody: true}}
	fmt.Fprintf(&b, "== the configuration has changed\n%s\n\n", guard.Check(adPlan(some...), u, limits()).Message())
	fmt.Fprintf(&b, "== the first run on a server that has people\n%s\n\n", guard.Check(adPlan(some...), guard.Usage{Strangers: 6000}, limits()).Message())
	u = guard.Usage{Held: map[identity.Key]guard.Held{}}
	for _, d := range some[:3] {
		u.Held[d.Key] = guard.Held{Run: "20261129-120000-1", Ops: d.Ops}
	}
	fmt.Fprintf(&b, "== held before\n%s\n\n", guard.Check(adPlan(some[:3]...), u, limits()).Message())
	u.Done = used("ad", 50).Done
	fmt.Fprintf(&b, "== held before, and more\n%s\n\n", guard.Check(adPlan(some...), u, limits()).Message())
	trip, ok := guard.Shrunk("corp-ad", 213, guard.Measure{Count: 12398, What: "in the largest complete read of the last 7 days"}, limits())
	require.True(t, ok)
	fmt.Fprintf(&b, "== a source shrank\n%s\n\n", trip.Message)
	refs := []string{"uid=eve,ou=Legal,dc=example,dc=com", "line 7"}
	for i := range 608 {
		refs = append(refs, fmt.Sprintf("uid=user.%04d,ou=Sales,dc=example,dc=com", i))
	}
	trip = trip.From(refs).PlaceGone()
	require.Equal(t, "ou=Sales,dc=example,dc=com", trip.Place)
	fmt.Fprintf(&b, "== a source shrank, for an OU is gone\n%s\n\n", trip.Message)
	text, _ := trip.Notice()
	require.NotContains(t, text, "Sales", "a notice names no places")
	trip = guard.Check(many(gone, off), guard.Usage{}, limits()).Trips[0].PlaceGone()
	fmt.Fprintf(&b, "== an OU is gone\n%s\n", trip.Message)
	text, _ = trip.Notice()
	require.NotContains(t, text, "Sales")
	require.Empty(t, guard.Check(many(off), guard.Usage{}, count).Trips[0].Place, "they are where they were")

	const path = "testdata/messages.golden"
	if *update {
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func TestShrunk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		now, largest int
		percent      float64
		want         bool
	}{
		{100, 0, 80, false}, // never read whole before
		{0, 100, 80, true},
		{79, 100, 80, true},
		{80, 100, 80, false},
		{120, 100, 80, false},
		{0, 100, 0, false}, // allowed for once
	} {
		l := limits()
		l.MinEntriesPercent = c.percent
		trip, got := guard.Shrunk("ad", c.now, guard.Measure{Count: c.largest, What: "before"}, l)
		require.Equal(t, c.want, got, "%+v", c)
		require.Equal(t, c.want, trip.Message != "")
	}
}

func TestWithhold(t *testing.T) {
	t.Parallel()
	create := func(i int) plan.Decision {
		return plan.Decision{Key: identity.Key{Source: "ad", Anchor: fmt.Sprint("c", i)}, Action: plan.Create, Reason: plan.Wanted, Username: "new", Ops: []plan.Op{{Kind: plan.CreateAccount}}}
	}
	build := func() plan.Plan {
		p := plan.Plan{Sources: []plan.SourceSummary{source("ad", 900), source("hr", 900)}, Target: plan.TargetSummary{Version: "11.6.0", SeatsLeft: 1}}
		p.Decisions = append(p.Decisions, leavers("ad", 0, 60, plan.SourceMissing, "")...)
		p.Decisions = append(p.Decisions, leavers("hr", 0, 2, plan.SourceMissing, "")...)
		p.Decisions = append(p.Decisions, create(1), create(2), create(3), create(4))
		return p
	}
	p := build()
	v := guard.Check(p, guard.Usage{}, limits())
	require.True(t, v.Tripped())
	got := guard.Withhold(p, v)
	t.Run("the tripped class of the tripped source is held, and says why", func(t *testing.T) {
		t.Parallel()
		n := 0
		for _, d := range got.Decisions {
			if d.Reason == plan.GuardTripped {
				n++
				require.Equal(t, plan.Hold, d.Action)
				require.Equal(t, plan.Deactivate, d.Held)
				require.Empty(t, d.Ops)
				require.Equal(t, "missing since 2026-11-19 12:00 UTC (grace 72 h over); 60 deactivations from ad are too many at once, limit 50", d.Detail)
				require.True(t, d.Open())
			}
		}
		require.Equal(t, 60, n)
	})
	t.Run("the rest goes on, as far as there are seats without the leavers", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 2, got.Count(plan.Deactivate))
		require.Equal(t, 3, got.Count(plan.Create), "one seat was free, two are given up")
		require.Equal(t, plan.NoSeats, got.Decisions[len(got.Decisions)-1].Reason)
	})
	t.Run("holds stand behind what is carried out", func(t *testing.T) {
		t.Parallel()
		held := false
		for _, d := range got.Decisions {
			require.False(t, held && d.Action != plan.Hold)
			held = held || d.Action == plan.Hold
		}
	})
	t.Run("the plan it was given stays as it is", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, build(), p)
	})
	t.Run("doing it twice changes nothing more", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, got, guard.Withhold(got, guard.Check(got, guard.Usage{}, limits())))
	})
	t.Run("the line about the guards reads the same before and after", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "Guards: deactivate from ad 60 of 50 (6.7 %) tripped   deactivate from hr 2 of 50 (0.2 %) ok", guard.Summary(p, guard.Usage{}, limits()))
		require.Equal(t, guard.Summary(p, guard.Usage{}, limits()), guard.Summary(got, guard.Usage{}, limits()))
	})
	t.Run("a plan without a target is not held for seats", func(t *testing.T) {
		t.Parallel()
		q := build()
		q.Target = plan.TargetSummary{}
		require.Equal(t, 4, guard.Withhold(q, v).Count(plan.Create))
	})
	t.Run("a shrunken source withholds nothing here", func(t *testing.T) {
		t.Parallel()
		trip, _ := guard.Shrunk("ad", 1, guard.Measure{Count: 100, What: "before"}, limits())
		require.Equal(t, build(), guard.Withhold(p, guard.Verdict{Trips: []guard.Trip{trip}}))
	})
	t.Run("what is shown", func(t *testing.T) {
		t.Parallel()
		short := guard.Withhold(plan.Plan{Sources: p.Sources, Decisions: leavers("hr", 0, 2, plan.SourceDisabled, "")}, guard.Verdict{
			Trips: []guard.Trip{{Class: plan.Deactivations, Source: "hr", Planned: 2, Limit: 1}},
		})
		var b bytes.Buffer
		require.NoError(t, plan.Render(&b, short, plan.Style{}))
		require.Contains(t, b.String(), "  ! user.0000   held       would deactivate: missing since 2026-11-19 12:00 UTC (grace 72 h over); 2 deactivations from hr are too many at once, limit 1 [guard_tripped]\n")
		require.Contains(t, b.String(), "guard_tripped  2: Read what is held; if it is right, let exactly that through with mmsync approve, as the guard's message says.")
	})
}

func BenchmarkCheck(b *testing.B) {
	p := plan.Plan{Sources: []plan.SourceSummary{source("ad", 50000)}}
	for i := range 50000 { // each in an OU of his own
		p.Decisions = append(p.Decisions, leavers("ad", i, 1, plan.SourceMissing, "uid=x,ou=%d,dc=example,dc=com")...)
	}
	b.ReportAllocs()
	for b.Loop() {
		guard.Check(p, guard.Usage{}, limits())
	}
}
