package reconcile_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// errCrash is what a dead process would have said.
var errCrash = errors.New("the process is dead")

// crash ends a process at its n-th store write or request: from then on nothing
// of it reaches the store or the server.
type crash struct {
	at    int64
	kind  cutKind
	count atomic.Int64
	dead  atomic.Bool
}

type cutKind string

const (
	beforeWrite   cutKind = "before store write"
	afterWrite    cutKind = "after store write"
	beforeRequest cutKind = "before request"
	afterRequest  cutKind = "after request"
	// Here the process lives on: only the connection is gone.
	lostRequest cutKind = "request lost"
	lostAnswer  cutKind = "answer lost"
)

// now tells whether this is the moment.
func (c *crash) now() bool { return c.count.Add(1) == c.at }

// write passes one store write through, or dies before or after it.
func (c *crash) write(f func() error) error {
	if c.dead.Load() {
		return errCrash
	}
	counted := c.kind == beforeWrite || c.kind == afterWrite
	die := counted && c.now()
	if die && c.kind == beforeWrite {
		c.dead.Store(true)
		return errCrash
	}
	err := f()
	if die {
		c.dead.Store(true)
		return errCrash
	}
	return err
}

// RoundTrip passes one request through, or dies before or after it.
func (c *crash) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.dead.Load() {
		return nil, errCrash
	}
	counted := c.kind == beforeRequest || c.kind == afterRequest
	die := counted && c.now()
	if die && c.kind == beforeRequest {
		c.dead.Store(true)
		return nil, errCrash
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if die && err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // the server has done it by then
		_ = resp.Body.Close()
		c.dead.Store(true)
		return nil, errCrash
	}
	return resp, err
}

// mortal is a real store whose process can die.
type mortal struct {
	state.Store
	c *crash
}

func (m mortal) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (l state.Lease, err error) {
	err = m.c.write(func() error { l, err = m.Store.AcquireLease(ctx, name, holder, ttl); return err })
	return l, err
}

func (m mortal) Bind(ctx context.Context, b state.Binding) (known state.Binding, err error) {
	err = m.c.write(func() error { known, err = m.Store.Bind(ctx, b); return err })
	return known, err
}

func (m mortal) PutLinks(ctx context.Context, l state.Lease, links []identity.Link) error {
	return m.c.write(func() error { return m.Store.PutLinks(ctx, l, links) })
}

func (m mortal) SaveRun(ctx context.Context, r state.Run) error {
	return m.c.write(func() error { return m.Store.SaveRun(ctx, r) })
}

func (m mortal) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, s state.SightingChanges) error {
	return m.c.write(func() error { return m.Store.BeginRun(ctx, l, r, p, s) })
}

func (m mortal) MarkSent(ctx context.Context, l state.Lease, ref state.OpRef, at time.Time) error {
	return m.c.write(func() error { return m.Store.MarkSent(ctx, l, ref, at) })
}

func (m mortal) RecordOp(ctx context.Context, l state.Lease, o state.Outcome) error {
	return m.c.write(func() error { return m.Store.RecordOp(ctx, l, o) })
}

func (m mortal) InterruptRuns(ctx context.Context, l state.Lease) (ids []string, err error) {
	err = m.c.write(func() error { ids, err = m.Store.InterruptRuns(ctx, l); return err })
	return ids, err
}

func (m mortal) RecordRead(ctx context.Context, r state.Read) error {
	return m.c.write(func() error { return m.Store.RecordRead(ctx, r) })
}

func (m mortal) SetMark(ctx context.Context, l state.Lease, k state.Mark) error {
	return m.c.write(func() error { return m.Store.SetMark(ctx, l, k) })
}

func (m mortal) ReplaceIndex(ctx context.Context, l state.Lease, list []state.IndexedAccount) error {
	return m.c.write(func() error { return m.Store.ReplaceIndex(ctx, l, list) })
}

func (m mortal) Protect(ctx context.Context, l state.Lease, list []state.ProtectedAccount) error {
	return m.c.write(func() error { return m.Store.Protect(ctx, l, list) })
}

func (m mortal) Settle(ctx context.Context, l state.Lease, marks []state.SettledMark) error {
	return m.c.write(func() error { return m.Store.Settle(ctx, l, marks) })
}

func (m mortal) Unsettle(ctx context.Context, l state.Lease) error {
	return m.c.write(func() error { return m.Store.Unsettle(ctx, l) })
}

func (m mortal) UseVerdicts(ctx context.Context, l state.Lease, run string, used []state.ItemRef, closed []string, at time.Time) error {
	return m.c.write(func() error { return m.Store.UseVerdicts(ctx, l, run, used, closed, at) })
}

func (m mortal) PutStops(ctx context.Context, list []state.Stop) error {
	return m.c.write(func() error { return m.Store.PutStops(ctx, list) })
}

func (m mortal) EndStops(ctx context.Context, ids []string, by string, at time.Time) error {
	return m.c.write(func() error { return m.Store.EndStops(ctx, ids, by, at) })
}

func (m mortal) Done(ctx context.Context, l state.Lease, due []state.Due) error {
	return m.c.write(func() error { return m.Store.Done(ctx, l, due) })
}

func (m mortal) PutOff(ctx context.Context, l state.Lease, due []state.Due) error {
	return m.c.write(func() error { return m.Store.PutOff(ctx, l, due) })
}

// ReleaseLease and RenewLease belong to the clock, so they are not counted.
func (m mortal) ReleaseLease(ctx context.Context, l state.Lease) error {
	if m.c.dead.Load() {
		return errCrash
	}
	return m.Store.ReleaseLease(ctx, l)
}

func (m mortal) RenewLease(ctx context.Context, l state.Lease, ttl time.Duration) (state.Lease, error) {
	if m.c.dead.Load() {
		return l, errCrash
	}
	return m.Store.RenewLease(ctx, l, ttl)
}
