package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/state"
)

// Sink is a receiver of notices.
type Sink interface {
	// Send brings one notice there. An error means that it may not have arrived, so
	// that it is sent again; it holds no secret.
	Send(ctx context.Context, n Notice) error
}

// Receiver is a Sink with what it is to be told.
type Receiver struct {
	Name string
	Sink Sink
	// Least is the least severity it is told of; "" for Warn.
	Least Severity
	// People lets it know usernames.
	People bool
	// Takes tells what is for it, whatever the severity; nil for everything.
	Takes func(Notice) bool
	// Each tells it of each leaver by himself, however many there are.
	Each bool
}

// takes tells whether a notice is for the receiver.
func (r *Receiver) takes(n Notice) bool {
	return n.Severity.reaches(r.Least) && (r.Takes == nil || r.Takes(n))
}

// fitted is the notice as the receiver may have it.
func (r *Receiver) fitted(n Notice) Notice {
	n = n.clone()
	if !r.People {
		n.People, n.Departed = nil, nil
	}
	return n
}

// Ledger is what a store keeps for a Teller.
type Ledger interface {
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (state.Lease, error)
	RenewLease(ctx context.Context, l state.Lease, ttl time.Duration) (state.Lease, error)
	ReleaseLease(ctx context.Context, l state.Lease) error
	Now(ctx context.Context) (time.Time, error)
	Told(ctx context.Context) ([]state.Told, error)
	Tell(ctx context.Context, l state.Lease, told, over []state.Told) error
}

// Options configure a Teller.
type Options struct {
	Receivers []Receiver
	Ledger    Ledger
	// Look gives what is the matter now.
	Look   func(ctx context.Context) (Snapshot, error)
	Limits Limits
	// Repeat is how long after it was told what still lasts is told again; default 24 h.
	Repeat time.Duration
	// Every is how often it is looked; default 30 s.
	Every time.Duration
	// Wake has it looked at once; nil for never.
	Wake <-chan struct{}
	// Round, if not nil, is told each time before it is looked.
	Round func()
	// Holder names this process in the lease.
	Holder string
	// Link is shown with every notice; may be "".
	Link   string
	Logger *slog.Logger
}

// Teller tells the receivers. Of several processes that share a store one does.
type Teller struct {
	o   Options
	log *slog.Logger
	// until is up to when the lease is ours, in nanoseconds of this process's clock.
	until atomic.Int64
	start time.Time
}

const (
	leaseName = "notices"
	leaseTTL  = 2 * time.Minute
	// sendWithin is how long one notice may take to a receiver.
	sendWithin = 30 * time.Second
	// perPass is how many notices a receiver gets at a time; what is left comes with
	// the next look.
	perPass = 20
	// growsEvery is how soon after it was told a notice is told again because it is about
	// more people.
	growsEvery = 15 * time.Minute

	// endWithin is how long what is under way may take when the program ends.
	endWithin = 5 * time.Second

	firstPause = 30 * time.Second
	mostPause  = 30 * time.Minute
)

// NewTeller makes a Teller; zero options get their defaults.
func NewTeller(o Options) *Teller {
	if o.Repeat <= 0 {
		o.Repeat = 24 * time.Hour
	}
	if o.Every <= 0 {
		o.Every = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Teller{o: o, log: o.Logger.With("component", "notice"), start: time.Now()}
}

// batch is what lasted at one moment, and the right to tell it.
type batch struct {
	snapshot Snapshot
	list     []Notice
	lease    state.Lease
}

// Run tells until ctx ends, and then gives nil. Nothing that goes wrong ends it: that
// the store or a receiver is away is logged, and tried again.
func (t *Teller) Run(ctx context.Context) error {
	if len(t.o.Receivers) == 0 {
		<-ctx.Done()
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	boxes := make([]chan batch, len(t.o.Receivers))
	for i := range t.o.Receivers {
		boxes[i] = make(chan batch, 1)
		g.Go(func() error {
			t.serve(ctx, &t.o.Receivers[i], boxes[i])
			return nil
		})
	}
	var lease state.Lease
	g.Go(func() error {
		t.watch(ctx, &lease, boxes)
		return nil
	})
	err := g.Wait()
	t.release(ctx, lease) // after the last notice was noted under it
	return err
}

func (t *Teller) release(ctx context.Context, l state.Lease) {
	if l.Token == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	if err := t.o.Ledger.ReleaseLease(ctx, l); err != nil {
		t.log.DebugContext(ctx, "the lease of notices was not given back and runs out", "error", err)
	}
}

// watch looks again and again, and gives every receiver what it found last.
func (t *Teller) watch(ctx context.Context, lease *state.Lease, boxes []chan batch) {
	tick := time.NewTicker(t.o.Every)
	defer tick.Stop()
	for {
		if t.o.Round != nil {
			t.o.Round()
		}
		b, err := t.look(ctx, lease)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, state.ErrHeld): // another process tells
		case err != nil:
			t.log.WarnContext(ctx, "what is to be told could not be worked out, and is tried again", "error", err)
		default:
			for _, box := range boxes {
				select { // what was not taken yet is old by now
				case <-box:
				default:
				}
				box <- b
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-t.o.Wake:
		}
	}
}

// look takes or keeps the lease and works out what lasts.
func (t *Teller) look(ctx context.Context, lease *state.Lease) (batch, error) {
	began := time.Since(t.start)
	held, err := t.keep(ctx, *lease)
	*lease = held
	if err != nil {
		t.until.Store(0)
		return batch{}, err
	}
	t.until.Store(int64(began + leaseTTL))
	s, err := t.o.Look(ctx)
	if err != nil {
		return batch{}, err
	}
	list := Conditions(s, t.o.Limits)
	for i := range list {
		list[i].Link = t.o.Link
	}
	return batch{snapshot: s, list: list, lease: held}, nil
}

func (t *Teller) keep(ctx context.Context, l state.Lease) (state.Lease, error) {
	if l.Token != 0 {
		renewed, err := t.o.Ledger.RenewLease(ctx, l, leaseTTL)
		if err == nil {
			return renewed, nil
		}
		if !errors.Is(err, state.ErrFenced) {
			return l, fmt.Errorf("renew the lease of notices: %w", err)
		}
	}
	l, err := t.o.Ledger.AcquireLease(ctx, leaseName, t.o.Holder, leaseTTL)
	if err != nil {
		return state.Lease{}, fmt.Errorf("take the lease of notices: %w", err)
	}
	return l, nil
}

// ours tells whether the lease still is this process's.
func (t *Teller) ours() bool { return int64(time.Since(t.start)) < t.until.Load() }

// serve tells one receiver what comes into its box, so that one that is slow or away
// keeps nobody else waiting.
func (t *Teller) serve(ctx context.Context, r *Receiver, box <-chan batch) {
	pause, again := time.Duration(0), time.Time{}
	for {
		var b batch
		select {
		case <-ctx.Done():
			return
		case b = <-box:
		}
		if time.Now().Before(again) {
			continue
		}
		err := t.pass(ctx, r, b)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			pause = 0
		default:
			pause = min(max(2*pause, firstPause), mostPause)
			again = time.Now().Add(pause)
			t.log.WarnContext(ctx, "a receiver of notices could not be told, and is tried again", "sink", r.Name, "after", pause, "error", err)
		}
	}
}

// pass tells one receiver what is new to it. A notice is noted after it was sent: one
// that was sent and could not be noted comes twice, and none is lost.
func (t *Teller) pass(ctx context.Context, r *Receiver, b batch) error {
	told, err := t.o.Ledger.Told(ctx)
	if err != nil {
		return fmt.Errorf("read what was told: %w", err)
	}
	told = slices.DeleteFunc(told, func(x state.Told) bool { return x.Sink != r.Name })
	if err := t.forget(ctx, r, b, told); err != nil {
		return err
	}
	news := t.news(r, b, told)
	for _, n := range news[:min(len(news), perPass)] {
		if !t.ours() {
			break
		}
		if err := t.one(ctx, r, b.lease, n, told); err != nil {
			return err
		}
	}
	return nil
}

// one sends a notice, if there still is time for it, and notes that it was sent.
func (t *Teller) one(ctx context.Context, r *Receiver, l state.Lease, n Notice, told []state.Told) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sending, cancel := outliving(ctx, sendWithin)
	defer cancel()
	if err := r.Sink.Send(sending, r.fitted(n)); err != nil {
		return err
	}
	t.log.InfoContext(ctx, "told", "sink", r.Name, "notice", string(n.Kind), "severity", string(n.Severity), "over", n.Over)
	// It was sent, whatever becomes of ctx now.
	noting, done := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer done()
	put, over := n.noted(r.Name, told), []state.Told(nil)
	if n.Over {
		put, over = nil, put
	}
	if err := t.o.Ledger.Tell(noting, l, put, over); err != nil && !errors.Is(err, state.ErrFenced) {
		return fmt.Errorf("note that %s was told: %w", r.Name, err)
	}
	return nil
}

// outliving gives a context that lasts for within, and endWithin beyond the end of ctx:
// a notice that is cut off on its way may have arrived, and would come twice.
func outliving(ctx context.Context, within time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-out.Done():
		case <-time.After(endWithin):
			cancel()
		}
	})
	return out, func() {
		stop()
		cancel()
	}
}

// news is what a receiver has to be told: what it was not told yet, what has become
// worse or lasts since Repeat, and what is over.
func (t *Teller) news(r *Receiver, b batch, told []state.Told) []Notice {
	was := make(map[string]state.Told, len(told))
	for _, x := range told {
		was[x.Key] = x
	}
	var out []Notice
	lasts := make(map[string]bool, len(b.list))
	for _, n := range b.list {
		lasts[n.Key] = true
		x, known := was[n.Key]
		ago := n.At.Sub(x.At)
		switch {
		case !r.takes(n):
		case known && n.Kind.once():
		case !known, ago >= t.o.Repeat, n.Severity == Alarm && x.Severity != string(Alarm), n.Count > x.People && ago >= growsEvery:
			out = append(out, n)
		}
	}
	if !r.Each {
		out = gathered(out, told, b.snapshot.Now)
	}
	slices.SortStableFunc(out, func(a, b Notice) int { return rank(a) - rank(b) })
	for _, x := range told {
		if !lasts[x.Key] && !Kind(x.Kind).once() && !b.snapshot.unknown(x.Key) {
			out = append(out, Notice{
				Kind: Kind(x.Kind), Key: x.Key, Severity: Severity(x.Severity), At: b.snapshot.Now, Over: true, Link: t.o.Link,
				Text: "It is over. What was told, first at " + clock(x.Since) + ", was: “" + x.Text + "”",
			})
		}
	}
	return out
}

// rank puts alarms first.
func rank(n Notice) int {
	if n.Severity == Alarm {
		return 0
	}
	return 1
}
