package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/mmsync/mmsync/internal/schedule"
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
	parts = append(watchdog(o.Logger), component{"pushes", d.Engine.ServePushes}, component{"requests", d.Engine.ServeRequests})
	if l, ok := d.Store.(listener); ok && l.Listens() {
		parts = append(parts, component{"wake-ups", d.wakeUps(l, o.Logger.With("component", "wake-ups"))})
	}
	if len(d.runs) > 0 {
		parts = append(parts, component{"scheduler", schedule.New(d.jobs(o.Logger.With("component", "schedule"))).Run})
	}
	told, err := d.notices(o.Logger, d.Config.Admin.PublicURL)
	if err != nil {
		return nil, err
	}
	parts = append(parts, component{"notices", told.Run})
	var pushed net.Addr
	if d.Config.SCIM.Listen != "" {
		l, err := d.scimListener(ctx, o)
		if err != nil {
			return nil, err
		}
		parts, pushed = append(parts, component{"scim", l.Serve}), l.Addr()
		defer func() {
			if err != nil {
				err = errors.Join(err, l.Close())
			}
		}()
	}
	if d.Config.Admin.Listen != "" || o.AdminListener != nil {
		watched, err := d.admin(ctx, o, pushed)
		if err != nil {
			return nil, err
		}
		// It ends first: whoever is about to end is not ready.
		parts = append(parts, component{"admin", watched})
	}
	return parts, nil
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
