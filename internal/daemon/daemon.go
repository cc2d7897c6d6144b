package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mmsync/mmsync/internal/admin"
	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/scim"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/postgres"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// Source is what every source adapter can do.
type Source interface {
	reconcile.Source
	// Check tells part by part whether the source can be read, and how to mend it.
	Check(ctx context.Context) []identity.Finding
	// Lookup finds one raw entry by anchor, place, username or e-mail, with all
	// its attributes.
	Lookup(ctx context.Context, query string) (sources.Record, bool, error)
}

// Options are what a configuration does not say.
type Options struct {
	Logger *slog.Logger
	// Version names the program to the server and in what it keeps of its decisions.
	Version string
	// ReadOnly lets no write leave for Mattermost, whatever the engine does.
	ReadOnly bool
	// Passwords lets accounts be taken from their login service, see
	// mattermost.Options.
	Passwords bool
	// Deletions lets accounts be deleted for good, see
	// [mattermost.Options].
	Deletions bool
	// Pilot are groups whose people the sources mark.
	Pilot []string
	// TokenChanged, if set, is told when Mattermost does not accept the token any more,
	// when it does again, and when the file holds another one that was or was not taken.
	// It must not block.
	TokenChanged func(mattermost.TokenState)
	// Progress is passed on to the engine.
	Progress func(reconcile.Progress)
}

// Daemon is a configuration come to life.
type Daemon struct {
	Config  *config.Config
	Engine  *reconcile.Engine
	Target  *mattermost.Target
	Sources []Source
	Store   Store
	// Metrics counts what this process does.
	Metrics *admin.Metrics

	o      Options
	holder string
	reads  failedReads
	runs   []scheduled
	// wake has whoever tells people look at once.
	wake chan struct{}
	// pushing is the pulse of the work on pushes.
	pushing *pulse
	// look asks Mattermost how it is; nil where nobody wants to know.
	look *mattermostLook
	// serving says that nobody reads the error of a single run.
	serving atomic.Bool
	// follows says that another process has the lease, as far as this one knows.
	follows atomic.Bool
}

// Store is what commands need of a store beyond what the engine does.
type Store interface {
	state.Store
	// Migrate brings the schema up to date and names what it applied.
	Migrate(ctx context.Context) ([]string, error)
	// Schema gives the database's version and the one this program wants.
	Schema(ctx context.Context) (current, wanted int64, err error)
	// Ready fails with state.ErrSchema if the two differ.
	Ready(ctx context.Context) error
}

// Open wires everything. An empty store is given its schema; one of another
// version is refused with state.ErrSchema.
func Open(ctx context.Context, c *config.Config, o Options) (*Daemon, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Daemon{Config: c, Metrics: admin.NewMetrics(o.Version), o: o, holder: Holder(), wake: make(chan struct{}, 1), pushing: newPulse()}
	var err error
	if d.Sources, err = buildSources(c, o.Logger, o.Pilot...); err != nil {
		return nil, err
	}
	var bars func(time.Time) []plan.Bar
	if d.runs, bars, err = schedules(c); err != nil {
		return nil, err
	}
	opts := clientOptions(c, o)
	opts.Requested, opts.TokenChanged = d.Metrics.Asked, d.tokenChanged(o)
	client, err := mattermost.New(opts)
	if err != nil {
		return nil, fmt.Errorf("set up the Mattermost client: %w", err)
	}
	asks := targetOptions(c)
	asks.SettleFor = time.Minute
	d.Target = mattermost.NewTarget(client, asks)
	if d.Store, err = OpenStore(ctx, c); err != nil {
		return nil, err
	}
	if err := ready(ctx, d.Store); err != nil {
		return nil, errors.Join(err, d.Store.Close())
	}
	digest, err := c.Digest()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("digest the configuration: %w", err), d.Store.Close())
	}
	wired := make([]reconcile.Source, len(d.Sources))
	for i, s := range d.Sources {
		if pushed, ok := s.(*scim.Source); ok {
			pushed.Use(d.Store)
		}
		wired[i] = s
	}
	create := c.Lifecycle.Create
	d.Engine = reconcile.New(reconcile.Options{
		Sources: wired, Target: target{d.Target, mattermost.ApplyOptions{EmailVerified: create.EmailVerified, Welcome: create.Welcome}},
		Store: d.Store, Policy: policy(c), Limits: limits(c), NewSpaces: newSpaces(c), PolicyDigest: digest, TargetURL: c.Mattermost.URL,
		SinceOverlap: c.Mattermost.SinceOverlap, LookAgain: c.Lifecycle.Deactivate.LookAgain, Version: o.Version, PlaceKey: sources.DNKey,
		Managers: slices.ContainsFunc(c.Sources, func(s config.Source) bool { return s.Manager.Text != "" }),
		ForGood:  forGood(c),
		Protect:  c.Guards.Protect.Usernames, Workers: c.Mattermost.MaxInFlight, Holder: d.holder, Logger: o.Logger, Progress: o.Progress,
		Vault: Vault(c), Watch: d.watcher(), Bars: bars, FullRead: fullReads(c),
	})
	return d, nil
}

// Limits are those the configuration sets.
func (d *Daemon) Limits() guard.Limits { return limits(d.Config) }

// Close releases the store.
func (d *Daemon) Close() error { return d.Store.Close() }

func ready(ctx context.Context, s Store) error {
	current, _, err := s.Schema(ctx)
	if err != nil {
		return fmt.Errorf("read the store's schema version: %w", err)
	}
	if current == 0 {
		if _, err := s.Migrate(ctx); err != nil {
			return fmt.Errorf("set up the empty store: %w", err)
		}
	}
	if err := s.Ready(ctx); err != nil {
		return fmt.Errorf("check the store: %w", err)
	}
	return nil
}

// OpenReady opens the store alone, as Open does.
func OpenReady(ctx context.Context, c *config.Config) (Store, error) {
	s, err := OpenStore(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := ready(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// ErrStore is wrapped by the errors of a store that cannot be opened.
var ErrStore = errors.New("the store cannot be used")

// OpenStore opens the store a configuration names, whatever its schema. Its
// errors wrap ErrStore.
func OpenStore(ctx context.Context, c *config.Config) (Store, error) {
	s, err := openStore(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return s, nil
}

// StoreFile gives the file of a store that is one.
func StoreFile(c *config.Config) (path string, ok bool) {
	url, err := c.State.URL.Value()
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(url, sqlite.Scheme)
}

func openStore(ctx context.Context, c *config.Config) (Store, error) {
	url, err := c.State.URL.Value()
	if err != nil {
		return nil, fmt.Errorf("read state.url: %w", err)
	}
	if strings.HasPrefix(url, sqlite.Scheme) {
		s, err := sqlite.Open(ctx, url, sqlite.Options{})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	o := postgres.Options{}
	if c.State.URL.File() != "" { // it may be replaced by one with another password
		o.Renewed = c.State.URL.Value
	}
	if c.State.ListenURL.IsSet() {
		o.Listen = c.State.ListenURL.Value
	}
	s, err := postgres.Open(ctx, url, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Holder names this process: host, process id and the moment it started.
func Holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%d", host, os.Getpid(), time.Now().UnixNano())
}

// target fits the Mattermost adapter to what the engine asks for.
type target struct {
	*mattermost.Target
	apply mattermost.ApplyOptions
}

func (t target) Lookup(ctx context.Context, usernames, emails []string) ([]identity.Account, error) {
	return t.Target.Lookup(ctx, mattermost.Wanted{Usernames: usernames, Emails: emails})
}

func (t target) Account(ctx context.Context, id string) (identity.Account, bool, error) {
	a, err := t.Target.Account(ctx, id)
	if mattermost.IsNotFound(err) {
		return a, false, nil
	}
	return a, err == nil, err
}

func (t target) Apply(ctx context.Context, accountID string, op plan.Op) (identity.Account, error) {
	return t.Target.Apply(ctx, accountID, op, t.apply)
}
