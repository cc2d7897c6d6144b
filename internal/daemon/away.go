package daemon

import "github.com/mmsync/mmsync/internal/mattermost"

// tokenChanged says how the token is, once for each change. A command has its own error to
// say that a token is dead; a service has nobody it could return one to.
func (d *Daemon) tokenChanged(o Options) func(mattermost.TokenState) {
	log := o.Logger.With("component", "mattermost")
	return func(s mattermost.TokenState) {
		switch {
		case s.Dead && d.serving.Load():
			log.Error("the token", "problem", s.Why, "since", s.Since.UTC())
		case !s.Dead && s.Why != "":
			log.Warn("the token", "problem", s.Why)
		case !s.Dead && d.serving.Load():
			log.Info("Mattermost accepts the token; calls go on")
		}
		select { // somebody should hear of it
		case d.wake <- struct{}{}:
		default:
		}
		if o.TokenChanged != nil {
			o.TokenChanged(s)
		}
	}
}
