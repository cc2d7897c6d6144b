package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// ErrNothingToServe says that a configuration has no source that is pushed and no
// listener.
var ErrNothingToServe = errors.New("nothing to serve")

// ServeOptions are what a configuration does not say.
type ServeOptions struct {
	Logger *slog.Logger
	// Listener, if not nil, is used in the place of one that is made for scim.listen.
	Listener net.Listener
	// AdminListener is the same for admin.listen.
	AdminListener net.Listener
	// Page answers what health and metrics do not on the admin listener; may be nil.
	Page http.Handler
	// Listening is told the address that is listened on; may be nil.
	Listening func(address string)
}

// Serve takes what clients push, and has it carried out, until ctx ends. What was
// taken and not carried out by then is found in the store by the next one.
func (d *Daemon) Serve(ctx context.Context, o ServeOptions) error {
	if d.Config.SCIM.Listen == "" {
		return ErrNothingToServe
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	log := o.Logger.With("component", "scim")
	handler, err := d.scimHandler(log, newQuirks(log, d.Metrics))
	if err != nil {
		return err
	}
	handler = d.Metrics.Requests(handler)
	var l *Listener
	if o.Listener != nil {
		l, err = listenOn(o.Listener, &d.Config.SCIM, handler, o.Logger)
	} else {
		l, err = Listen(ctx, &d.Config.SCIM, handler, o.Logger)
	}
	if err != nil {
		return err
	}
	if o.Listening != nil {
		o.Listening(l.Addr().String())
	}
	watched, err := d.admin(ctx, o, l.Addr())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return watched(ctx) })
	g.Go(func() error { return d.Engine.ServePushes(ctx) })
	g.Go(func() error { return l.Serve(ctx) })
	return g.Wait()
}
