package daemon

import (
	"context"
	"log/slog"
)

// listener is a store that tells at once when somebody is due or a run is asked for.
type listener interface {
	Listens() bool
	Listen(ctx context.Context, wake func(), lost func(error)) error
}

// wakeUps has the engine look as soon as there is something to do, instead of when it
// looks next by itself, which it does all the time.
func (d *Daemon) wakeUps(l listener, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		told := false
		wake := func() {
			if told {
				log.InfoContext(ctx, "the database is listened to again")
			}
			told = false
			d.Engine.Wake()
		}
		lost := func(err error) {
			if !told {
				log.WarnContext(ctx, "the database of state.listen_url is not listened to, and is asked every quarter of a second instead", "error", err)
			}
			told = true
		}
		return l.Listen(ctx, wake, lost)
	}
}
