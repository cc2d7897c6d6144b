package guard_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func change(f plan.Field, from, to string) plan.Change {
	return plan.Change{Field: f, From: from, To: to}
}

func patch(c ...plan.Change) plan.Op { return plan.Op{Kind: plan.PatchProfile, Changes: c} }

func login(from, to string) plan.Op {
	return plan.Op{Kind: plan.SetAuth, Changes: []plan.Change{change(plan.FieldAuthService, from, to), change(plan.FieldAuthData, "", "x")}}
}

func revoke() plan.Op {
	return plan.Op{Kind: plan.RevokeSessions, Changes: []plan.Change{change(plan.FieldActive, "true", "true")}}
}

// updated makes an update of one person of source ad.
func updated(anchor string, ops ...plan.Op) plan.Decision {
	return plan.Decision{
		Key: identity.Key{Source: "ad", Anchor: anchor}, Ref: "uid=" + anchor + ",ou=Ops,dc=example,dc=com", Action: plan.Update, Reason: plan.Differs,
		AccountID: "a" + anchor, Username: anchor, Ops: ops,
	}
}

func created(n int) []plan.Decision {
	out := make([]plan.Decision, n)
	for i := range out {
		out[i] = plan.Decision{
			Key: identity.Key{Source: "ad", Anchor: fmt.Sprintf("n%04d", i)}, Ref: fmt.Sprintf("uid=n%d,ou=New,dc=example,dc=com", i), Action: plan.Create, Reason: plan.Wanted,
			Username: fmt.Sprintf("new%04d", i), Detail: "from ad",
			Ops: []plan.Op{{Kind: plan.CreateAccount, Changes: []plan.Change{change("username", "", fmt.Sprintf("new%04d", i))}}},
		}
	}
	return out
}

func repeated(n int, f func(i int) plan.Decision) []plan.Decision {
	out := make([]plan.Decision, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func adPlan(list ...plan.Decision) plan.Plan {
	return plan.Plan{Decisions: list, Sources: []plan.SourceSummary{source("ad", 900)}}
}

// tight lets nobody through.
func tight(classes ...plan.Class) guard.Limits {
	l := limits()
	for _, c := range classes {
		*map[plan.Class]*guard.Limit{
			plan.Deactivations: &l.Deactivations, plan.Reactivations: &l.Reactivations, plan.Creates: &l.Creates, plan.Recreations: &l.Recreations, plan.Renames: &l.Renames,
			plan.EmailChanges: &l.EmailChanges, plan.Updates: &l.Updates, plan.AuthChanges: &l.AuthChanges, plan.AdminGrants: &l.AdminGrants,
			plan.RoleRemovals: &l.RoleRemovals,
		}[c] = guard.Limit{}
	}
	return l
}

func TestCheck_each_class(t *testing.T) {
	t.Parallel()
	of := map[plan.Class]func(i int) plan.Decision{
		plan.Creates: func(i int) plan.Decision { return created(i + 1)[i] },
		plan.Renames: func(i int) plan.Decision {
			return updated(fmt.Sprint(i), patch(change("username", "a", fmt.Sprint(i))))
		},
		plan.EmailChanges: func(i int) plan.Decision { return updated(fmt.Sprint(i), patch(change("email", "a", fmt.Sprint(i)))) },
		plan.Updates:      func(i int) plan.Decision { return updated(fmt.Sprint(i), patch(change("position", "a", "b"))) },
		plan.AuthChanges:  func(i int) plan.Decision { return updated(fmt.Sprint(i), login("", "saml"), revoke()) },
		plan.AdminGrants: func(i int) plan.Decision {
			return updated(fmt.Sprint(i), rolesOp("system_user", "system_admin system_user"))
		},
		plan.Reactivations: func(i int) plan.Decision {
			d := updated(fmt.Sprint(i), patch(change("position", "a", "b")), plan.Op{Kind: plan.SetActive, Changes: []plan.Change{change(plan.FieldActive, "false", "true")}})
			d.Action, d.Reason = plan.Reactivate, plan.Returned
			return d
		},
	}
	causes := map[plan.Class]string{
		plan.Creates: "4 of 4 are in source ad and have no account", plan.Reactivations: "4 of 4 are back in source ad",
		plan.Renames: "4 of 4 have another username", plan.EmailChanges: "4 of 4 have another e-mail", plan.Updates: "4 of 4 have another position",
		plan.AuthChanges: "4 of 4 would log in by saml", plan.AdminGrants: "4 of 4 would be given system_admin",
	}
	for class, f := range of {
		l := tight(class)
		three := &guard.Limit{Count: 3}
		switch class {
		case plan.Creates:
			l.Creates = *three
		case plan.Renames:
			l.Renames = *three
		case plan.EmailChanges:
			l.EmailChanges = *three
		case plan.Updates:
			l.Updates = *three
		case plan.AuthChanges:
			l.AuthChanges = *three
		case plan.Reactivations:
			l.Reactivations = *three
		default:
			l.AdminGrants = *three
		}
		require.False(t, guard.Check(adPlan(repeated(3, f)...), guard.Usage{}, l).Tripped(), class)
		v := guard.Check(adPlan(repeated(4, f)...), guard.Usage{}, l)
		require.Len(t, v.Trips, 1, class)
		require.Equal(t, class, v.Trips[0].Class)
		require.Contains(t, v.Trips[0].Message, " Largest cause: "+causes[class], class)
		held := guard.Withhold(adPlan(repeated(4, f)...), v)
		require.False(t, held.Effective(), class)
		for i, d := range held.Decisions {
			require.Equal(t, f(i).Ops, d.Withheld, class)
			require.Equal(t, plan.GuardTripped, d.Reason, class)
		}
		before := guard.Usage{Done: map[string]map[plan.Class]int{"ad": {class: 2}}}
		require.True(t, guard.Check(adPlan(repeated(2, f)...), before, l).Tripped(), "%s: the window counts", class)
		require.False(t, guard.Check(adPlan(repeated(1, f)...), before, l).Tripped(), class)
		approved := repeated(40, f)
		for i := range approved {
			approved[i].Approval = "v1"
		}
		require.False(t, guard.Check(adPlan(approved...), before, l).Tripped(), "%s: what was approved does not count", class)
		fresh := guard.Usage{New: map[string]bool{"ad": true}}
		require.Equal(t, class != plan.Creates && class != plan.Updates, guard.Check(adPlan(repeated(40, f)...), fresh, l).Tripped(), "%s in the first run", class)
	}
}

func TestCheck_base(t *testing.T) {
	t.Parallel()
	u := guard.Usage{Done: map[string]map[plan.Class]int{"ad": {plan.Deactivations: 30, plan.Reactivations: 7, plan.Creates: 100, plan.Recreations: 2}}}
	v := guard.Check(adPlan(leavers("ad", 0, 50, plan.SourceMissing, "")...), u, limits())
	require.Equal(t, 900+30-109, v.Trips[0].Base, "those who were there when the window began")
}

func TestWithhold_takes_only_what_is_too_much(t *testing.T) {
	t.Parallel()
	position, name, mail := change("position", "a", "b"), change("username", "old", "new"), change("email", "o@x", "n@x")
	for what, c := range map[string]struct {
		limits     guard.Limits
		ops        []plan.Op
		left, back []plan.Op
		notes      []plan.Field
	}{
		"a patch loses the fields of the class": {
			tight(plan.Renames),
			[]plan.Op{patch(name, mail, position)},
			[]plan.Op{patch(mail, position)},
			[]plan.Op{patch(name)},
			[]plan.Field{"username"},
		},
		"and of two classes": {
			tight(plan.Renames, plan.EmailChanges),
			[]plan.Op{patch(name, mail, position)},
			[]plan.Op{patch(position)},
			[]plan.Op{patch(name, mail)},
			[]plan.Field{"username", "email"},
		},
		"a parked name goes as a whole": {
			tight(plan.Renames),
			[]plan.Op{{Kind: plan.PatchProfile, Parks: true, Changes: []plan.Change{change("username", "old", "p")}}, patch(change("username", "p", "new"), position)},
			[]plan.Op{patch(position)},
			[]plan.Op{{Kind: plan.PatchProfile, Parks: true, Changes: []plan.Change{change("username", "old", "p")}}, patch(change("username", "p", "new"))},
			[]plan.Field{"username"},
		},
		"a login takes the end of the sessions along, and what the old one locks": {
			tight(plan.AuthChanges),
			[]plan.Op{login("saml", "ldap"), revoke(), patch(name, mail)},
			[]plan.Op{patch(mail)},
			[]plan.Op{login("saml", "ldap"), revoke(), patch(name)},
			[]plan.Field{"auth_service", "auth_data", "username"},
		},
		"a login waits for the name that it would lock": {
			tight(plan.Renames),
			[]plan.Op{patch(name, position), login("", "saml"), revoke()},
			[]plan.Op{patch(position)},
			[]plan.Op{patch(name), login("", "saml"), revoke()},
			[]plan.Field{"username", "auth_service", "auth_data"},
		},
		"a login does not wait for the rest": {
			tight(plan.Updates),
			[]plan.Op{patch(name, position), login("", "saml"), revoke()},
			[]plan.Op{patch(name), login("", "saml"), revoke()},
			[]plan.Op{patch(position)},
			[]plan.Field{"position"},
		},
		"rights go, the rest stays": {
			tight(plan.AdminGrants),
			[]plan.Op{patch(position), rolesOp("system_user", "system_admin system_user")},
			[]plan.Op{patch(position)},
			[]plan.Op{rolesOp("system_user", "system_admin system_user")},
			[]plan.Field{"roles"},
		},
		"who stays a member keeps his sessions": {
			tight(plan.RoleRemovals),
			[]plan.Op{patch(position), rolesOp("system_user x", "system_user"), guestOp(plan.Demote, "system_user", "system_guest"), revoke()},
			[]plan.Op{patch(position)},
			[]plan.Op{rolesOp("system_user x", "system_user"), guestOp(plan.Demote, "system_user", "system_guest"), revoke()},
			[]plan.Field{"roles"},
		},
		"who stays a guest gets no rights": {
			tight(plan.AdminGrants),
			[]plan.Op{patch(position), guestOp(plan.Promote, "system_guest", "system_user"), rolesOp("system_user", "system_user x")},
			[]plan.Op{patch(position)},
			[]plan.Op{guestOp(plan.Promote, "system_guest", "system_user"), rolesOp("system_user", "system_user x")},
			[]plan.Field{"roles"},
		},
	} {
		p := adPlan(updated("1", c.ops...))
		got := guard.Withhold(p, guard.Check(p, guard.Usage{}, c.limits)).Decisions[0]
		require.Equal(t, c.left, got.Ops, what)
		require.Equal(t, c.back, got.Withheld, what)
		require.Equal(t, plan.Update, got.Action, what)
		var fields []plan.Field
		for _, n := range got.Notes {
			require.Equal(t, plan.GuardTripped, n.Reason, what)
			fields = append(fields, n.Field)
		}
		require.Equal(t, c.notes, fields, what)
	}
	t.Run("a new account keeps what it is without rights", func(t *testing.T) {
		t.Parallel()
		p := adPlan(created(1)...)
		p.Decisions[0].Ops = append(p.Decisions[0].Ops, rolesOp("system_user", "system_admin system_user"))
		got := guard.Withhold(p, guard.Check(p, guard.Usage{}, tight(plan.AdminGrants))).Decisions[0]
		require.Equal(t, plan.Create, got.Action)
		require.Len(t, got.Ops, 1)
		require.Len(t, got.Withheld, 1)
	})
	t.Run("what the server's own settings lock goes with the login", func(t *testing.T) {
		t.Parallel()
		p := adPlan(updated("1", login("saml", "ldap"), revoke(), patch(position, mail)))
		p.Target.Locks = plan.Locks{"saml": identity.AttributesOf(identity.Position)}
		got := guard.Withhold(p, guard.Check(p, guard.Usage{}, tight(plan.AuthChanges))).Decisions[0]
		require.Equal(t, []plan.Op{patch(mail)}, got.Ops)
		p = adPlan(updated("1", patch(name, mail), login("", "saml")))
		p.Target.Locks = plan.Locks{"saml": identity.AttributesOf(identity.Email)}
		got = guard.Withhold(p, guard.Check(p, guard.Usage{}, tight(plan.EmailChanges))).Decisions[0]
		require.Equal(t, []plan.Op{patch(name)}, got.Ops)
	})
	t.Run("nobody is let in with the name of before", func(t *testing.T) {
		t.Parallel()
		d := updated("1", patch(name), plan.Op{Kind: plan.SetActive, Changes: []plan.Change{change(plan.FieldActive, "false", "true")}})
		d.Action, d.Reason = plan.Reactivate, plan.Returned
		p := adPlan(d)
		got := guard.Withhold(p, guard.Check(p, guard.Usage{}, tight(plan.Renames))).Decisions[0]
		require.Equal(t, plan.Hold, got.Action)
		require.Equal(t, plan.Reactivate, got.Held)
		require.Equal(t, d.Ops, got.Withheld)
	})
}

func TestWithhold_who_wants_a_name_that_is_kept_waits(t *testing.T) {
	t.Parallel()
	a := updated("a", patch(change("username", "anna", "annabel"), change("position", "x", "y")))
	b := updated("b", patch(change("username", "bert", "Anna")))
	c := created(1)[0]
	c.Key.Source, c.Ops = "hr", []plan.Op{{Kind: plan.CreateAccount, Changes: []plan.Change{change("username", "", "bert")}}}
	other := updated("d", patch(change("username", "dora", "doris")))
	other.Key.Source = "hr"
	build := func() plan.Plan {
		return plan.Plan{Decisions: []plan.Decision{a, b, other, c}, Sources: []plan.SourceSummary{source("ad", 900), source("hr", 900)}}
	}
	u := guard.Usage{Held: map[identity.Key]guard.Held{a.Key: {Run: "r1", Ops: []plan.Op{patch(change("username", "anna", "annabel"))}}}}
	p := build()
	got := guard.Withhold(p, guard.Check(p, u, limits()))
	require.Equal(t, []plan.Op{patch(change("position", "x", "y"))}, got.Decisions[0].Ops)
	require.Equal(t, other.Ops, got.Decisions[1].Ops, "a name that nobody keeps is taken")
	require.Equal(t, plan.Hold, got.Decisions[2].Action)
	require.Equal(t, "username is held by ad/a, whose change a guard keeps back", got.Decisions[2].Detail)
	require.Equal(t, b.Ops, got.Decisions[2].Withheld)
	require.Equal(t, plan.Create, got.Decisions[3].Held)
	require.Equal(t, c.Ops, got.Decisions[3].Withheld, "and so does who waits for him")
	require.Equal(t, build(), p)

	p.Decisions[1].Approval = "v1"
	got = guard.Withhold(p, guard.Check(p, u, limits()))
	require.Equal(t, plan.WaitsForOther, got.Decisions[2].Reason, "an approval makes no name free")
}

func TestCheck_what_was_held_stays_held(t *testing.T) {
	t.Parallel()
	list := leavers("ad", 0, 3, plan.SourceMissing, "")
	held := map[identity.Key]guard.Held{}
	for i := range list[:2] {
		held[list[i].Key] = guard.Held{Run: fmt.Sprint("r", 2-i), Ops: list[i].Ops}
	}
	u := guard.Usage{Held: held}
	v := guard.Check(adPlan(list...), u, limits())
	require.Len(t, v.Trips, 1)
	require.Equal(t, []int{2, 2, 0}, []int{v.Trips[0].Planned, v.Trips[0].Held, v.Trips[0].Before})
	require.Contains(t, v.Message(), "held them in run r1 ")
	got := guard.Withhold(adPlan(list...), v)
	require.Equal(t, 1, got.Count(plan.Deactivate), "the new one counts by himself")
	require.Equal(t, got, guard.Withhold(got, guard.Check(got, u, limits())))
	require.Equal(t, "Guards: deactivate 3 of 50 (0.3 %) held", guard.Summary(got, u, limits()))

	t.Run("but for who is wanted otherwise", func(t *testing.T) {
		t.Parallel()
		changed := slices.Clone(list)
		changed[0].Ops = []plan.Op{{Kind: plan.RevokeSessions, Changes: list[0].Ops[0].Changes}}
		require.Equal(t, 1, guard.Check(adPlan(changed...), u, limits()).Trips[0].Planned)
	})
	t.Run("and for a number that somebody gives for this run", func(t *testing.T) {
		t.Parallel()
		l := limits()
		l.Deactivations = guard.Limit{Count: 3, ByHand: true}
		require.False(t, guard.Check(adPlan(list...), u, l).Tripped())
		l.Deactivations.Count = 2
		require.Equal(t, 3, guard.Check(adPlan(list...), u, l).Trips[0].Planned)
	})
	t.Run("with the new ones, when those are too many", func(t *testing.T) {
		t.Parallel()
		v := guard.Check(adPlan(list...), guard.Usage{Held: held, Done: used("ad", 50).Done}, limits())
		require.Equal(t, []int{3, 2, 50}, []int{v.Trips[0].Planned, v.Trips[0].Held, v.Trips[0].Before})
		require.False(t, guard.Withhold(adPlan(list...), v).Effective())
	})
}

func TestCheck_losses(t *testing.T) {
	t.Parallel()
	blank := func(n int) plan.Plan {
		return adPlan(repeated(n, func(i int) plan.Decision {
			return updated(fmt.Sprint(i), patch(change("position", "x", ""), change("nickname", "a", "b")))
		})...)
	}
	had := func(n, before int) guard.Usage {
		return guard.Usage{
			Had:  map[string]map[plan.Field]int{"ad": {"position": n}},
			Done: map[string]map[plan.Class]int{"ad": {plan.AttributeLoss("position"): before}},
		}
	}
	require.False(t, guard.Check(blank(20), had(20, 0), limits()).Tripped(), "a handful")
	require.True(t, guard.Check(blank(21), had(100, 0), limits()).Tripped())
	require.False(t, guard.Check(blank(30), had(300, 0), limits()).Tripped(), "a tenth of them")
	require.True(t, guard.Check(blank(31), had(300, 0), limits()).Tripped())
	require.True(t, guard.Check(blank(1), had(270, 30), limits()).Tripped(), "one by one as well")
	require.True(t, guard.Check(blank(21), guard.Usage{}, limits()).Tripped(), "nothing is known of who had it")
	got := guard.Withhold(blank(31), guard.Check(blank(31), had(300, 0), limits()))
	require.Equal(t, []plan.Op{patch(change("nickname", "a", "b"))}, got.Decisions[0].Ops)

	group := func(n int, more ...plan.Decision) plan.Plan {
		return adPlan(append(demoted("ad", n, "system_admin system_user"), more...)...)
	}
	holders := func(n int) guard.Usage {
		return guard.Usage{Holders: map[string]map[string]int{"ad": {"system_admin": n}}}
	}
	require.True(t, guard.Check(group(3), holders(3), limits()).Tripped(), "the whole group")
	require.False(t, guard.Check(group(2), holders(2), limits()).Tripped(), "two may have gone by themselves")
	require.False(t, guard.Check(group(3), holders(4), limits()).Tripped(), "somebody keeps it")
	require.False(t, guard.Check(group(3, updated("x", rolesOp("system_user", "system_admin system_user"))), holders(3), limits()).Tripped(), "somebody gets it")
	require.False(t, guard.Check(group(3), guard.Usage{}, limits()).Tripped(), "nothing is known of who has it")
}

func TestCheck_changed_rules(t *testing.T) {
	t.Parallel()
	list := append(leavers("ad", 0, 2, plan.OutOfScope, ""), leavers("ad", 2, 1, plan.SourceDeleted, "")...)
	list = append(list, demoted("ad", 1, "system_admin system_user", patch(change("position", "a", "b")))...)
	u := guard.Usage{Rules: &guard.Rules{Since: "r1", Everybody: true}}
	v := guard.Check(adPlan(list...), u, limits())
	require.Len(t, v.Trips, 1)
	require.Equal(t, guard.ScopeChange, v.Trips[0].Class)
	require.Equal(t, 3, v.Trips[0].Planned, "what the source said itself has nothing to do with it")
	got := guard.Withhold(adPlan(list...), v)
	require.Equal(t, 1, got.Count(plan.Deactivate))
	require.Equal(t, 1, got.Count(plan.Update), "the rest of who loses a role goes on")
	require.Equal(t, 2, got.Count(plan.Hold))
	one := guard.Usage{Rules: &guard.Rules{Since: "r1", Keys: map[identity.Key]bool{list[1].Key: true}}}
	require.Equal(t, 1, guard.Check(adPlan(list...), one, limits()).Trips[0].Planned)
	require.False(t, guard.Check(adPlan(list[2]), u, limits()).Tripped())
}

func TestWithhold_stop(t *testing.T) {
	t.Parallel()
	l := limits()
	l.Stop = true
	list := append(leavers("ad", 0, 51, plan.SourceMissing, ""), created(1)...)
	list = append(list, updated("u", patch(change("position", "a", "b"))))
	list[51].Approval = "v1"
	p := adPlan(list...)
	got := guard.Withhold(p, guard.Check(p, guard.Usage{}, l))
	require.Equal(t, 1, got.Count(plan.Create), "what was approved goes")
	require.Equal(t, 52, got.Count(plan.Hold))
	last := got.Decisions[len(got.Decisions)-1]
	require.Equal(t, list[52].Ops, last.Withheld)
	require.Equal(t, plan.Update, last.Held)
	require.Equal(t, guard.Summary(p, guard.Usage{}, l), guard.Summary(got, guard.Usage{}, l))
	trip, _ := guard.Shrunk("ad", 1, guard.Measure{Count: 100, What: "before"}, l)
	require.False(t, guard.Withhold(adPlan(list[52]), guard.Verdict{Trips: []guard.Trip{trip}, Stop: true}).Effective(), "whatever trips")
	require.True(t, guard.Withhold(adPlan(list[52]), guard.Verdict{Stop: true}).Effective(), "nothing trips")
}

func TestVerdict_Of(t *testing.T) {
	t.Parallel()
	p := adPlan(leavers("ad", 0, 51, plan.SourceMissing, "uid=%d,ou=RUN,dc=example")...)
	v := guard.Check(p, guard.Usage{}, limits())
	require.Contains(t, v.Message(), "mmsync approve RUN")
	named := v.Of("20261129-1")
	require.True(t, strings.HasSuffix(named.Message(), `last under "ou=RUN,dc=example". None of them was written. Read it with: mmsync history 20261129-1. If this is right, let exactly these through with: mmsync approve 20261129-1 --reason "…"`), named.Message())
	require.Contains(t, v.Message(), "mmsync approve RUN", "the other one stays as it is")
}

// However 4,000 leavers are spread over runs, no more than the limit go in any 24
// hours, and nobody who was held ever goes.
func TestCheck_window(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := leavers("ad", 0, 800, plan.SourceMissing, "")
		order := rapid.Permutation(all).Draw(t, "order")
		l := limits()
		l.Deactivations = guard.Limit{Count: rapid.IntRange(0, 60).Draw(t, "count"), Percent: float64(rapid.IntRange(0, 2).Draw(t, "percent"))}
		done := map[identity.Key]time.Duration{}
		held := map[identity.Key]guard.Held{}
		runs := rapid.IntRange(1, 30).Draw(t, "runs")
		var now time.Duration
		present := 0
		for run := range runs {
			now += time.Duration(rapid.IntRange(0, 2*48*60/runs).Draw(t, "minutes")) * time.Minute
			present += rapid.IntRange(0, min(len(order)-present, 2*len(order)/runs)).Draw(t, "leavers")
			var pending []plan.Decision
			for _, d := range order[:present] {
				if _, gone := done[d.Key]; !gone {
					pending = append(pending, d)
				}
			}
			before := 0
			for _, at := range done {
				if at > now-l.Window {
					before++
				}
			}
			p := plan.Plan{Decisions: pending, Sources: []plan.SourceSummary{source("ad", 800-len(done))}}
			got := guard.Withhold(p, guard.Check(p, guard.Usage{Held: held, Done: used("ad", before).Done}, l))
			for _, d := range got.Decisions {
				if len(d.Ops) == 0 {
					held[d.Key] = guard.Held{Run: fmt.Sprint(run), Ops: d.Withheld}
					continue
				}
				if _, was := held[d.Key]; was {
					t.Fatalf("%s was held and goes", d.Key)
				}
				done[d.Key] = now
				before++
			}
			if most := l.Deactivations.Allowed(800); before > most {
				t.Fatalf("%d of %d in a day", before, most)
			}
		}
	})
}

// Whatever a plan holds: what is carried out and what is kept back are together
// what was planned, twice is once, and the line about the guards stays the same.
func TestWithhold_properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := limits()
		for _, x := range []*guard.Limit{&l.Deactivations, &l.Reactivations, &l.Creates, &l.Updates, &l.Renames, &l.EmailChanges, &l.AuthChanges, &l.AdminGrants, &l.RoleRemovals, &l.Recreations} {
			*x = guard.Limit{Count: rapid.IntRange(0, 4).Draw(t, "limit")}
		}
		l.Stop = rapid.IntRange(0, 4).Draw(t, "stop") == 0
		p := adPlan(repeated(rapid.IntRange(0, 12).Draw(t, "people"), func(i int) plan.Decision { return anyDecision(t, i) })...)
		u := guard.Usage{Held: map[identity.Key]guard.Held{}}
		for _, d := range p.Decisions {
			if rapid.IntRange(0, 3).Draw(t, "held") == 0 {
				u.Held[d.Key] = guard.Held{Run: "r1", Ops: d.Ops}
			}
		}
		v := guard.Check(p, u, l)
		got := guard.Withhold(p, v)
		if again := guard.Withhold(got, guard.Check(got, u, l)); !slices.EqualFunc(again.Decisions, got.Decisions, sameDecision) {
			t.Fatalf("twice is not once:\n%+v\n%+v", got.Decisions, again.Decisions)
		}
		if a, b := guard.Summary(p, u, l), guard.Summary(got, u, l); a != b {
			t.Fatalf("before %s\nafter  %s", a, b)
		}
		was := map[identity.Key]plan.Decision{}
		for _, d := range p.Decisions {
			was[d.Key] = d
		}
		for _, d := range got.Decisions {
			if a, b := pieces(was[d.Key].Ops), pieces(slices.Concat(d.Ops, d.Withheld)); !slices.Equal(a, b) {
				t.Fatalf("planned %v\nleft    %v", a, b)
			}
			if was[d.Key].Approval != "" && len(d.Withheld) > 0 {
				t.Fatalf("%s was approved, and is held", d.Key)
			}
		}
	})
}

func sameDecision(a, b plan.Decision) bool {
	return a.Key == b.Key && a.Action == b.Action && a.Detail == b.Detail && len(a.Notes) == len(b.Notes) && slices.Equal(pieces(a.Ops), pieces(b.Ops)) && slices.Equal(pieces(a.Withheld), pieces(b.Withheld))
}

// pieces lists the single changes of ops.
func pieces(ops []plan.Op) []string {
	var out []string
	for _, o := range ops {
		if len(o.Changes) == 0 {
			out = append(out, string(o.Kind))
		}
		for _, c := range o.Changes {
			out = append(out, fmt.Sprint(o.Kind, o.Parks, c))
		}
	}
	slices.Sort(out)
	return out
}

// anyDecision draws what may be decided about a person. Nobody wants a name that
// another one has.
func anyDecision(t *rapid.T, i int) plan.Decision {
	n := fmt.Sprint(i)
	flip := func(what string) bool { return rapid.Bool().Draw(t, what) }
	var d plan.Decision
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		d = leavers("ad", i, 1, plan.SourceMissing, "")[0]
		if flip("roles") {
			d.Ops = append(d.Ops, rolesOp("system_admin system_user", "system_user"))
		}
	case 1:
		d = created(i + 1)[i]
		if flip("roles") {
			d.Ops = append(d.Ops, rolesOp("system_user", "system_admin system_user"))
		}
	case 2:
		d = updated(n, patch(change("username", "o"+n, "n"+n)), plan.Op{Kind: plan.SetActive, Changes: []plan.Change{change(plan.FieldActive, "false", "true")}})
		d.Action, d.Reason = plan.Reactivate, plan.Returned
	default:
		var c []plan.Change
		for _, f := range []plan.Field{"username", "email", "position"} {
			if flip(string(f)) {
				c = append(c, change(f, "o"+n, "n"+n))
			}
		}
		d = updated(n, plan.Op{Kind: plan.LinkAccount})
		if d.Action = plan.Adopt; flip("update") {
			d.Action, d.Ops = plan.Update, nil
		}
		if len(c) > 0 {
			d.Ops = append(d.Ops, patch(c...))
		}
		if flip("login") || len(d.Ops) == 0 {
			d.Ops = append(d.Ops, login("", "saml"), revoke())
		}
		if flip("roles") {
			d.Ops = append(d.Ops, rolesOp("system_user x", "system_user y"))
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "approved") == 0 {
		d.Approval = "v1"
	}
	return d
}

func guestOp(kind plan.OpKind, from, to string) plan.Op {
	return plan.Op{Kind: kind, Changes: []plan.Change{change(plan.FieldRoles, from, to)}}
}
