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
func (d *Daemon) components(ctx context.Context, o ServeOptions) ([]component, error) {
	parts := watchdog(o.Logger)
	parts = append(parts, component{"pushes", d.Engine.ServePushes})
	if len(d.runs) > 0 {
		parts = append(parts, component{"scheduler", schedule.New(d.jobs(o.Logger.With("component", "schedule"))).Run})
	}
	if d.Config.SCIM.Listen != "" {
		c, err := d.scimListener(ctx, o)
		if err != nil {
			return nil, err
		}
		parts = append(parts, c)
	}
	return parts, nil
}

// scimListener binds the address that clients push to. It is closed by the end of the
// component.
func (d *Daemon) scimListener(ctx context.Context, o ServeOptions) (component, error) {
	log := o.Logger.With("component", "scim")
	met := newQuirks(log)
	handler, err := d.scimHandler(log, met)
	if err != nil {
		return component{}, err
	}
	var l *Listener
	if o.Listener != nil {
		l, err = listenOn(o.Listener, &d.Config.SCIM, handler, o.Logger)
	} else {
		l, err = Listen(ctx, &d.Config.SCIM, handler, o.Logger)
	}
	if err != nil {
		return component{}, err
	}
	l.drain = min(l.drain, d.Config.ShutdownTimeout)
	if o.Listening != nil {
		o.Listening(l.Addr().String())
	}
	return component{"scim", func(ctx context.Context) error {
		defer met.sum()
		return l.Serve(ctx)
	}}, nil
}
