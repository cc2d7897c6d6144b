package daemon

import (
	"context"
	"log/slog"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// tell says something to the service manager; nothing where there is none.
func tell(ctx context.Context, log *slog.Logger, what string) {
	if _, err := systemd.SdNotify(false, what); err != nil {
		log.WarnContext(ctx, "the service manager cannot be told", "what", what, "error", err)
	}
}

// watchdog tells the service manager that mmsync is alive, twice in the time after
// which it would restart it; nil if it does not want to know.
func watchdog(log *slog.Logger) []component {
	within, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("WATCHDOG_USEC cannot be read; the service manager is told nothing", "error", err)
	}
	if within <= 0 {
		return nil
	}
	return []component{{"watchdog", func(ctx context.Context) error {
		tick := time.NewTicker(within / 2)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				tell(ctx, log, systemd.SdNotifyWatchdog)
			}
		}
	}}}
}
