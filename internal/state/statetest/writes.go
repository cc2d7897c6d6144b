package statetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// Floor is a store beside what its database does at best: Insert adds one row to a
// bare table in a transaction of its own.
type Floor struct {
	Store  state.Store
	Insert func(ctx context.Context, id int64, body string) error
}

const clients = 16

// BenchWrites measures what every push waits for, with sixteen clients. It reports
// writes a second, those of the floor before and after, and the ratio of both.
func BenchWrites(b *testing.B, open func(t testing.TB) Floor) {
	b.Helper()
	mark := func(w state.ResourceWrite) state.ResourceWrite {
		w.Body = benchBody(w.ID)
		w.Due = []state.DueMark{{Key: identity.Key{Source: w.Source, Anchor: w.ID}}}
		return w
	}
	b.Run("Create", func(b *testing.B) {
		benchWrites(b, open(b), func(n, _ int64) state.ResourceWrite { return mark(userWrite(int(n))) })
	})
	b.Run("Replace", func(b *testing.B) { // values as they were, as most changes leave them
		replace(b, open(b), func(n, version int64) state.ResourceWrite { return mark(userWrite(int(n))) })
	})
	b.Run("Rename", func(b *testing.B) {
		replace(b, open(b), func(n, version int64) state.ResourceWrite {
			w := mark(userWrite(int(n)))
			w.Values[0].Value = fmt.Sprint("renamed.", n, ".", version)
			return w
		})
	})
}

// BenchMembers measures what a full push of a large group costs: n join an empty one,
// all of them are pushed again, and all leave by name.
func BenchMembers(b *testing.B, open Factory) {
	b.Helper()
	for _, n := range []int{10_000, 40_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b)
			all := make([]state.Member, n)
			for i := range all {
				all[i] = member(fmt.Sprintf("m%06d", i))
			}
			r := write(b, s, groupWrite("g1"))
			for b.Loop() {
				w := next(r, groupWrite("g1", all...))
				r = write(b, s, w)
				w.Expect, w.LeaveAll = r.Version, true
				r = write(b, s, w)
				w = next(r, groupWrite("g1"))
				w.Leave = all
				r = write(b, s, w)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/member")
		})
	}
}

func benchBody(id string) []byte {
	return fmt.Appendf(nil, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"active":true,`+
		`"name":{"givenName":"Zoë","familyName":"O'Brien"},"emails":[{"value":"user@example.org","type":"work","primary":true}],`+
		`"title":"Head of Something","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Sales","employeeNumber":"4711"}}`, id)
}

// replace writes each of many users again and again.
func replace(b *testing.B, f Floor, to func(n, version int64) state.ResourceWrite) {
	b.Helper()
	const users = 5000
	require.NoError(b, atOnce(users, func(n int64) error {
		w := to(n, 0)
		_, err := f.Store.WriteResource(b.Context(), w)
		return err
	}))
	benchWrites(b, f, func(n, _ int64) state.ResourceWrite {
		version := 1 + n/users
		w := to(n%users, version)
		w.Expect = version
		return w
	})
}

func benchWrites(b *testing.B, f Floor, write func(n, version int64) state.ResourceWrite) {
	b.Helper()
	var rows int64
	floor := func() float64 {
		const n = 4000
		first := rows
		rows += n
		start := time.Now()
		require.NoError(b, atOnce(n, func(i int64) error {
			return f.Insert(b.Context(), first+i, string(benchBody("floor")))
		}))
		return n / time.Since(start).Seconds()
	}
	floor() // connections are made, statements described
	before := floor()
	b.ResetTimer()
	require.NoError(b, atOnce(int64(b.N), func(n int64) error {
		_, err := f.Store.WriteResource(b.Context(), write(n, 0))
		return err
	}))
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.StopTimer()
	bare := (before + floor()) / 2
	b.ReportMetric(rate, "writes/s")
	b.ReportMetric(bare, "floor/s")
	b.ReportMetric(rate/bare, "ratio")
}

// atOnce lets sixteen clients do f for 0 to n-1. Two of one n's neighbourhood run at
// once; n and n+clients do not pass each other.
func atOnce(n int64, f func(int64) error) error {
	var g errgroup.Group
	var next atomic.Int64
	for range clients {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < n; i = next.Add(1) - 1 {
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
