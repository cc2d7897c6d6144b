package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/mmsync/mmsync/internal/admin"
	"github.com/mmsync/mmsync/internal/schedule"
	"github.com/mmsync/mmsync/internal/sources/scim"
)

// ErrNothingToServe says that a configuration has neither a schedule nor a listener.
var ErrNothingToServe = errors.New("nothing to serve")

// ServeOptions are what a configuration does not say.
type ServeOptions struct {
	Logger *slog.Logger
	// Listener, if not nil, is used in the place of one that is made for scim.listen.
	Listener net.Listener
	// AdminListener is the same for admin.listen.
	AdminListener net.Listener
	// Listening is told the address that is listened on; may be nil.
	Listening func(address string)
}

// Serve makes the runs that are scheduled, and takes what clients push and has it
// carried out, until ctx ends. What was begun is ended within shutdown_timeout, or else
// a *LateError names what was not; what was not begun by then is found in the store by
// the next one. Of one SQLite file one process at most may serve: ErrAnotherServe.
func (d *Daemon) Serve(ctx context.Context, o ServeOptions) (err error) {
	if d.Config.SCIM.Listen == "" && len(d.runs) == 0 {
		return ErrNothingToServe
	}
	d.serving.Store(true)
	defer d.serving.Store(false)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	log := o.Logger.With("component", "serve")
	if file, ok := StoreFile(d.Config); ok {
		var lock io.Closer
		if lock, err = serveAlone(file); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Close()) }()
	}
	parts, err := d.components(ctx, o)
	if err != nil {
		return err
	}
	return supervise(ctx, parts, d.Config.ShutdownTimeout, log,
		func() { tell(ctx, log, systemd.SdNotifyReady) },
		func() { tell(ctx, log, systemd.SdNotifyStopping) })
}

// components are what is at work, in the order in which it begins; it ends the other
// way round.
func (d *Daemon) components(ctx context.Context, o ServeOptions) (parts []component, err error) {
	parts = append(parts, d.pushes(), component{"requests", d.Engine.ServeRequests, nil})
	if l, ok := d.Store.(listener); ok && l.Listens() {
		parts = append(parts, component{"wake-ups", d.wakeUps(l, o.Logger.With("component", "wake-ups")), nil})
	}
	if len(d.runs) > 0 {
		p := newPulse()
		s := schedule.New(d.jobs(o.Logger.With("component", "schedule"), p))
		s.Round = p.round
		parts = append(parts, component{"scheduler", s.Run, p.silent})
	}
	tells := newPulse()
	told, err := d.notices(o.Logger, d.Config.Admin.PublicURL, tells.round)
	if err != nil {
		return nil, err
	}
	tellers := component{"notices", told.Run, nil}
	if len(d.Config.Notices.Sinks) > 0 { // else it goes round for nobody
		tellers.silent = tells.silent
	}
	parts = append(parts, tellers)
	var pushed net.Addr
	if d.Config.SCIM.Listen != "" {
		l, err := d.scimListener(ctx, o)
		if err != nil {
			return nil, err
		}
		parts, pushed = append(parts, component{"scim", l.Serve, nil}), l.Addr()
		defer func() {
			if err != nil {
				err = errors.Join(err, l.Close())
			}
		}()
	}
	watched := d.Config.Admin.Listen != "" || o.AdminListener != nil
	if !watched && len(d.Config.Notices.Sinks) == 0 {
		return append(watchdog(o.Logger, parts, roundWithin), parts...), nil
	}
	health, looks, err := d.health(pushed)
	if err != nil {
		return nil, err
	}
	parts = append(parts, looks)
	if watched {
		serves, err := d.admin(ctx, o, health)
		if err != nil {
			return nil, err
		}
		// It ends first: whoever is about to end is not ready.
		parts = append(parts, component{"admin", serves, nil})
	}
	return append(watchdog(o.Logger, parts, roundWithin), parts...), nil
}

// pushes is the work on those who are pushed. Without a source that is pushed it has
// nothing to go round for.
func (d *Daemon) pushes() component {
	out := component{"pushes", d.Engine.ServePushes, nil}
	if slices.ContainsFunc(d.Sources, func(s Source) bool { _, ok := s.(*scim.Source); return ok }) {
		d.pushing.round()
		out.silent = d.pushing.silent
	}
	return out
}

// health makes the looks at all parts, and what goes on with them.
func (d *Daemon) health(pushed net.Addr) (*admin.Health, component, error) {
	look, err := d.mattermostLook()
	if err != nil {
		return nil, component{}, err
	}
	d.look = look
	h := admin.NewHealth(d.probes(pushed, look))
	d.Metrics.Watch(h)
	d.Metrics.Certificates(func() map[string]time.Time {
		out := map[string]time.Time{}
		for _, c := range d.certificates() {
			out[c.of] = c.ends
		}
		return out
	})
	return h, component{"health", func(ctx context.Context) error {
		defer look.client.CloseIdle()
		var wg sync.WaitGroup
		wg.Go(func() { look.settle(ctx) })
		h.Run(ctx)
		wg.Wait()
		return nil
	}, h.Silent}, nil
}

// scimListener binds the address that clients push to.
func (d *Daemon) scimListener(ctx context.Context, o ServeOptions) (*Listener, error) {
	log := o.Logger.With("component", "scim")
	handler, err := d.scimHandler(log, newQuirks(log, d.Metrics))
	if err != nil {
		return nil, err
	}
	handler = d.Metrics.Requests(handler)
	var l *Listener
	if o.Listener != nil {
		l, err = listenOn(o.Listener, &d.Config.SCIM, handler, o.Logger)
	} else {
		l, err = Listen(ctx, &d.Config.SCIM, handler, o.Logger)
	}
	if err != nil {
		return nil, err
	}
	l.drain = min(l.drain, d.Config.ShutdownTimeout/3) // the others want to end as well
	if o.Listening != nil {
		o.Listening(l.Addr().String())
	}
	return l, nil
}
