package statetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// pushPairs are two processes that take what clients push, as behind a balancer.
func pushPairs(test func(name string, f func(t *testing.T, a, b state.Store))) {
	test("Pair/of many that replace one version, one does", racesVersion)
	test("Pair/of many that make one resource, one does", func(t *testing.T, a, b state.Store) {
		var won, lost atomic.Int32
		both(t, a, b, func(s state.Store, n int) error {
			w := userWrite(1)
			w.Values = []state.IndexedValue{{Attr: "userName", Value: fmt.Sprint("by", n), Unique: true}}
			_, err := s.WriteResource(t.Context(), w)
			return tally(err, state.ErrConflict, &won, &lost)
		})
		require.Equal(t, []int32{1, workers - 1}, []int32{won.Load(), lost.Load()})
	})
	test("Pair/of many that want one value, one gets it", func(t *testing.T, a, b state.Store) {
		for round := range 10 {
			var won, lost atomic.Int32
			wanted := []state.IndexedValue{
				{Attr: "userName", Value: fmt.Sprint("wanted", round), Unique: true},
				{Attr: "externalId", Value: fmt.Sprint("wanted", round), Unique: true},
			}
			both(t, a, b, func(s state.Store, n int) error {
				w := userWrite(round*workers + n)
				w.Values = wanted
				if n%3 == 0 { // in another order, so that two might wait for each other
					w.Values = []state.IndexedValue{wanted[1], wanted[0]}
				}
				_, err := s.WriteResource(t.Context(), w)
				return tally(err, state.ErrTaken, &won, &lost)
			})
			require.Equal(t, []int32{1, workers - 1}, []int32{won.Load(), lost.Load()})
			require.Len(t, found(t, a, "userName", wanted[0].Value), 1)
			require.Len(t, resources(t, b, state.ResourceFilter{}), round+1)
		}
	})
	test("Pair/marking and working at once loses no mark and waits for nobody for ever", racesMarks)
	test("Pair/what one has written the other has with its marks", func(t *testing.T, a, b state.Store) {
		w := groupWrite("g1", member("u1"))
		w.Due = []state.DueMark{{Key: identity.Key{Source: pushed, Anchor: "u1"}}}
		r := write(t, a, w)
		require.Equal(t, []state.Resource{r}, resources(t, b, state.ResourceFilter{Source: pushed, Type: group}))
		require.Equal(t, of("g1", member("u1")), membersOf(t, b, "g1"))
		require.Equal(t, due(t, a), due(t, b))
		require.NoError(t, b.CreateToken(t.Context(), token("a", "hr", "entra", 1)))
		require.Len(t, tokensOf(t, a, "hr"), 1)
	})
}

// both runs f eight times at once, by turns on either store.
func both(t *testing.T, a, b state.Store, f func(s state.Store, n int) error) {
	t.Helper()
	var n atomic.Int32
	race(t, func() error {
		i := int(n.Add(1))
		return f([]state.Store{a, b}[i%2], i)
	})
}

func racesVersion(t *testing.T, a, b state.Store) {
	r := write(t, a, userWrite(1))
	for round := range 10 {
		var won, lost atomic.Int32
		winner := make(chan state.ResourceWrite, 1)
		both(t, a, b, func(s state.Store, n int) error {
			w := next(r, userWrite(1))
			w.Values[0].Value = fmt.Sprint("round", round, "by", n)
			w.Join = []state.Member{member(fmt.Sprint("m", round, "-", n))}
			_, err := s.WriteResource(t.Context(), w)
			if err == nil {
				winner <- w
			}
			return tally(err, state.ErrConflict, &won, &lost)
		})
		require.Equal(t, []int32{1, workers - 1}, []int32{won.Load(), lost.Load()})
		w := <-winner
		require.Equal(t, []string{r.ID}, found(t, b, "userName", w.Values[0].Value))
		require.Len(t, membersOf(t, a, r.ID), round+1, "nothing of those that lost")
		r = resources(t, a, state.ResourceFilter{})[0]
		require.Equal(t, int64(round+2), r.Version)
	}
}

// racesMarks has people marked from both sides, by writes and by themselves, while
// one works on whoever is due. Who was marked last is either still due, or was worked
// on after that.
func racesMarks(t *testing.T, a, b state.Store) {
	const people, rounds = 60, 15
	l := acquire(t, a)
	var clock atomic.Int64 // counts what happens
	var last, worked [people]atomic.Int64
	var marking errgroup.Group
	for i, s := range []state.Store{a, b, a, b} {
		marking.Go(func() error {
			r := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // the same each time
			for n := range rounds {
				var marks []state.DueMark
				chosen := r.Perm(people)[:people/2]
				for _, p := range chosen {
					marks = append(marks, state.DueMark{Key: identity.Key{Source: pushed, Anchor: fmt.Sprint(p)}, Leaver: p%7 == 0})
				}
				before := clock.Add(1)
				if err := markSomehow(t.Context(), s, marks, 100*i+n); err != nil {
					return err
				}
				for _, p := range chosen {
					raise(&last[p], before)
				}
			}
			return nil
		})
	}
	done := make(chan struct{})
	var working errgroup.Group
	for range 2 {
		working.Go(func() error {
			for stop := false; ; {
				select {
				case <-done:
					stop = true
				default:
				}
				got, err := a.Due(t.Context(), people/3)
				if err != nil || stop && len(got) == 0 {
					return err
				}
				now := clock.Add(1) // what was marked before this is seen
				for _, d := range got {
					p, err := strconv.Atoi(d.Key.Anchor)
					if err != nil {
						return err
					}
					raise(&worked[p], now)
				}
				rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
				if err := a.Done(t.Context(), l, got); err != nil {
					return err
				}
			}
		})
	}
	err := marking.Wait()
	close(done)
	require.NoError(t, err)
	require.NoError(t, working.Wait())
	for p := range people {
		require.Greater(t, worked[p].Load(), last[p].Load(), "person %d", p)
	}
	require.Empty(t, due(t, b))
}

// markSomehow marks by a write of a group every other time.
func markSomehow(ctx context.Context, s state.Store, marks []state.DueMark, n int) error {
	if n%2 == 0 {
		return s.MarkDue(ctx, marks)
	}
	w := groupWrite(fmt.Sprint("g", n))
	w.Due = marks
	_, err := s.WriteResource(ctx, w)
	return err
}

// raise sets v to at least n.
func raise(v *atomic.Int64, n int64) {
	for {
		if old := v.Load(); old >= n || v.CompareAndSwap(old, n) {
			return
		}
	}
}

// cancelledPushes notes what comes of all methods under a context that has ended.
func cancelledPushes(ctx context.Context, s state.Store, l state.Lease, errs map[string]error) {
	f := state.ResourceFilter{Source: pushed, Type: user}
	w := userWrite(1)
	w.Due = []state.DueMark{{Key: identity.Key{Source: pushed, Anchor: w.ID}}}
	_, errs["WriteResource"] = s.WriteResource(ctx, w)
	_, errs["Resources"] = s.Resources(ctx, f)
	_, errs["CountResources"] = s.CountResources(ctx, f)
	errs["EachResource"] = s.EachResource(ctx, pushed, user, func(state.Resource) error { return nil })
	_, errs["Members"] = s.Members(ctx, pushed, []string{"g"})
	_, errs["Memberships"] = s.Memberships(ctx, pushed, nil)
	errs["MarkDue"] = s.MarkDue(ctx, []state.DueMark{wants(1)})
	_, errs["Due"] = s.Due(ctx, 0)
	_, errs["DueOf"] = s.DueOf(ctx, []identity.Key{key(1)})
	_, _, errs["CountDue"] = s.CountDue(ctx)
	errs["Done"] = s.Done(ctx, l, []state.Due{{DueMark: wants(1)}})
	errs["PutOff"] = s.PutOff(ctx, l, []state.Due{{DueMark: wants(1)}})
	_, errs["Tokens"] = s.Tokens(ctx, "")
	errs["CreateToken"] = s.CreateToken(ctx, token("a", "hr", "entra", 1))
	errs["ChangeToken"] = s.ChangeToken(ctx, token("a", "hr", "entra", 1))
	errs["UseToken"] = s.UseToken(ctx, "t_a", "10.0.0.1", at(1))
}
