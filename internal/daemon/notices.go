package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mmsync/mmsync/internal/authorities"
	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/notice"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// notices makes what tells the configured receivers what needs somebody. Its Run goes
// on until its context ends, and returns at once in no other case. link is shown with
// every notice; "" for none. round is told that it goes round.
func (d *Daemon) notices(log *slog.Logger, link string, round func()) (*notice.Teller, error) {
	to, err := receivers(d.Config, d.Target.Client(), log)
	if err != nil {
		return nil, err
	}
	n := d.Config.Notices
	limits := notice.Limits{
		LeaverHeldAfter: n.LeaverHeldAfter, RunsFailed: n.RunsFailed, SourceStale: n.SourceStaleAfter, IDPSilent: n.IDPSilentAfter,
		SeatsLeft: n.SeatsLeft, ExpiringWithin: n.ExpiringWithin, LeftBehind: n.LeftBehind, Leavers: n.Leavers,
	}
	var watched []notice.WatchedSource
	for i := range d.Config.Sources {
		s := &d.Config.Sources[i]
		watched = append(watched, notice.WatchedSource{Name: s.Name, Pushed: s.SCIM != nil, Signed: s.SCIM != nil && s.SCIM.JWT != nil, Managers: s.Manager.Text != ""})
	}
	w := notice.NewWatcher(notice.WatchOptions{
		Store: d.Store, Sources: watched, Limits: limits, Server: d.askServer, Ends: d.ends, History: d.history, Left: d.leftBehind(log),
		TokenDead: func() bool { return d.Target.Token().Dead },
	})
	return notice.NewTeller(notice.Options{
		Receivers: to, Ledger: d.Store, Look: w.Look, Limits: limits, Repeat: n.RepeatAfter, Holder: Holder(), Link: link, Logger: log,
		Wake: d.wake, Round: round,
	}), nil
}

// receivers wires the sinks of a configuration. Secrets are read when they are used.
func receivers(c *config.Config, chat *mattermost.Client, log *slog.Logger) ([]notice.Receiver, error) {
	var out []notice.Receiver
	for i := range c.Notices.Sinks {
		s := &c.Notices.Sinks[i]
		r := notice.Receiver{Name: s.Name, Least: notice.Severity(s.MinSeverity)}
		roots := authorities.In(s.CAFile)
		if _, err := roots.Pool(); err != nil {
			return nil, fmt.Errorf("set up sink %s: %w", s.Name, err)
		}
		switch s.Type {
		case config.SinkMattermost:
			channel := &notice.Channel{Poster: chat, Name: s.Channel}
			r.Sink, r.Takes, r.People = channel, channel.Takes, s.ShowsPeople()
		case config.SinkManager:
			managers := &notice.Managers{Messenger: &direct{client: chat, log: log}}
			r.Sink, r.Takes, r.People, r.Each = managers, managers.Takes, true, true
		case config.SinkWebhook:
			o := notice.WebhookOptions{URL: s.URL.Value, Roots: roots.Pool, AllowHTTP: s.TakesHTTP(), UserAgent: "mmsync"}
			if s.Secret.IsSet() {
				o.Secret = s.Secret.Value
			}
			r.Sink = notice.NewWebhook(o)
		case config.SinkEmail:
			m, err := notice.NewMail(notice.MailOptions{
				Server: s.Server, Security: notice.MailSecurity(s.Security), Username: s.Username, Password: s.Password.Value, From: s.From, To: s.To, Roots: roots.Pool,
			})
			if err != nil {
				return nil, fmt.Errorf("set up sink %s: %w", s.Name, err)
			}
			r.Sink = m
		}
		out = append(out, r)
	}
	return out, nil
}

// answerWithin is how long Mattermost may take to say how it is.
const answerWithin = 20 * time.Second

// askServer asks Mattermost whether it takes the token, how many seats are left, and
// until when its licence lasts.
func (d *Daemon) askServer(ctx context.Context) (notice.Server, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c := d.Target.Client()
	if _, err := c.Me(ctx); mattermost.IsUnauthorized(err) {
		return notice.Server{TokenDead: true}, time.Time{}, nil
	} else if err != nil {
		return notice.Server{}, time.Time{}, fmt.Errorf("read the token's own account: %w", err)
	}
	limits, err := c.Limits(ctx)
	if err != nil {
		return notice.Server{}, time.Time{}, fmt.Errorf("read the server's seat limit: %w", err)
	}
	licence, err := c.License(ctx)
	if err != nil {
		return notice.Server{}, time.Time{}, fmt.Errorf("read the server's licence: %w", err)
	}
	return notice.Server{SeatsLeft: limits.SeatsLeft()}, licence.Until, nil
}

// leftBehind gives what people left behind who were switched off.
func (d *Daemon) leftBehind(log *slog.Logger) func(ctx context.Context) ([]notice.LeftBehind, bool) {
	return func(ctx context.Context) ([]notice.LeftBehind, bool) {
		people, whole, err := d.Engine.Working(ctx)
		if err != nil {
			log.WarnContext(ctx, "what leavers left behind could not be listed, and is looked for again later", "error", err)
			return nil, false
		}
		var out []notice.LeftBehind
		for i := range people {
			p := &people[i]
			who := notice.Leaver{Source: p.Key.Source, Username: p.Account.Username}
			for _, x := range p.Things {
				out = append(out, notice.LeftBehind{Leaver: who, Account: p.Account.ID, Kind: x.Kind})
			}
		}
		return out, whole
	}
}

// history tells whether the store is the one whose history the key of this machine knows.
func (d *Daemon) history(ctx context.Context) (notice.History, error) {
	err := reconcile.History(ctx, d.Store, Vault(d.Config), false)
	if refused, ok := errors.AsType[*reconcile.HistoryError](err); ok {
		return notice.History{Restored: refused.Restored, Refused: !refused.Restored}, nil
	}
	return notice.History{}, err
}

// Tried is what became of a test notice.
type Tried struct {
	Sink, Type string
	Err        error // nil: it was taken
	Took       time.Duration
	// Untried says why nothing was sent; "" if something was.
	Untried string
}

// TryNotices sends a test to the sinks of a configuration of the given names, or to
// all. Those of type manager write to the account with the username to; nothing if that
// is "". It needs no store.
func TryNotices(ctx context.Context, c *config.Config, o Options, to string, names ...string) ([]Tried, error) {
	client, err := mattermost.New(clientOptions(c, o))
	if err != nil {
		return nil, fmt.Errorf("set up the Mattermost client: %w", err)
	}
	defer client.CloseIdle()
	list, err := receivers(c, client, o.Logger)
	if err != nil {
		return nil, err
	}
	types := map[string]string{}
	for i := range c.Notices.Sinks {
		types[c.Notices.Sinks[i].Name] = c.Notices.Sinks[i].Type
	}
	var out []Tried
	for i := range list {
		if types[list[i].Name] == config.SinkManager {
			list[i].Sink = &trial{client: client, to: to}
		}
	}
	for _, x := range notice.Try(ctx, list, "", names...) {
		one := Tried{Sink: x.Name, Type: types[x.Name], Err: x.Err, Took: x.Took}
		if one.Type == config.SinkManager && to == "" {
			one = Tried{Sink: x.Name, Type: one.Type, Untried: "it writes to people, and --to names nobody"}
		}
		out = append(out, one)
	}
	return out, nil
}
