package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// tell says something to the service manager; nothing where there is none.
func tell(ctx context.Context, log *slog.Logger, what string) {
	if _, err := systemd.SdNotify(false, what); err != nil {
		log.WarnContext(ctx, "the service manager cannot be told", "what", what, "error", err)
	}
}

// pulse is by what a component shows that it goes round.
type pulse struct {
	began time.Time // with the reading that goes on evenly
	last  atomic.Int64
	works atomic.Bool
}

func newPulse() *pulse { return &pulse{began: time.Now()} }

// round notes that the component goes round.
func (p *pulse) round() { p.last.Store(int64(time.Since(p.began))) }

// work does what may take as long as it takes.
func (p *pulse) work(f func()) {
	p.works.Store(true)
	defer func() {
		p.round()
		p.works.Store(false)
	}()
	f()
}

// silent is how long ago it went round last; nothing while it is at work.
func (p *pulse) silent() time.Duration {
	if p.works.Load() {
		return 0
	}
	return time.Since(p.began) - time.Duration(p.last.Load())
}

// roundWithin is how long a component that goes round may be silent: many times what it
// takes with a store that does not answer. What is at work is not meant.
const roundWithin = 10 * time.Minute

// stuck names a component that has not gone round for too long; "" if all do.
func stuck(parts []component, within time.Duration) string {
	for _, p := range parts {
		if p.silent != nil && p.silent() > within {
			return p.name
		}
	}
	return ""
}

// watchdog tells the service manager that mmsync is alive, twice in the time after
// which it would restart it, for as long as no part is stuck; nil if it does not want to
// know.
func watchdog(log *slog.Logger, parts []component, roundWithin time.Duration) []component {
	within, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("WATCHDOG_USEC cannot be read; the service manager is told nothing", "error", err)
	}
	if within <= 0 {
		return nil
	}
	return []component{{name: "watchdog", run: func(ctx context.Context) error {
		tick := time.NewTicker(within / 2)
		defer tick.Stop()
		said := ""
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			name := stuck(parts, roundWithin)
			if name == "" {
				tell(ctx, log, systemd.SdNotifyWatchdog)
			} else if name != said {
				log.ErrorContext(ctx, "a part is stuck, and the service manager is told no more that mmsync is alive", "part", name, "for", roundWithin)
			}
			said = name
		}
	}}}
}
