package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/admin"
	"github.com/mmsync/mmsync/internal/audit/keyfile"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/sources/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// The parts that are looked at. A source is "source" and its name.
const (
	partStore      = "store"
	partSchema     = "schema"
	partLease      = "lease"
	partPushes     = "pushes"
	partMattermost = "mattermost"
	partToken      = "token"
	partKey        = "sealing key"
	partSCIM       = "scim listener"
)

const (
	// lookEvery and lookWithin keep what breaks from going unnamed for 5 s.
	lookEvery  = 2 * time.Second
	lookWithin = 2 * time.Second
	// askEvery and askWithin are Mattermost's, which is asked two questions in turn.
	askEvery  = 2050 * time.Millisecond
	askWithin = 900 * time.Millisecond
	// longDue is how long somebody may wait before pushes count as not well.
	longDue = 15 * time.Minute
	// shownError is how much of an error a part shows, in bytes.
	shownError = 400
)

// probes are the looks at all parts, and what to do when they are not used any more.
func (d *Daemon) probes(pushed net.Addr) (list []admin.Probe, idle func(), err error) {
	client, err := d.prober()
	if err != nil {
		return nil, nil, err
	}
	list = []admin.Probe{
		{
			Parts: []string{partStore, partSchema, partLease, partPushes}, Optional: []string{partPushes}, Every: lookEvery, Within: lookWithin,
			Hangs: "look at the database of state.url: mmsync doctor --only state", Check: d.lookStore,
		},
		d.mattermostProbe(client),
	}
	for _, s := range d.Sources {
		list = append(list, d.sourceProbe(s))
	}
	list = append(list, d.keyProbe())
	if pushed != nil {
		list = append(list, admin.Probe{
			Parts: []string{partSCIM}, Every: lookEvery, Within: lookWithin, Hangs: "restart mmsync serve, and look at its log before",
			Check: func(ctx context.Context) []admin.Status { return []admin.Status{lookListener(ctx, pushed)} },
		})
	}
	return list, client.CloseIdle, nil
}

// writable is a store that can be there and only be read.
type writable interface {
	Writable(ctx context.Context) error
}

func (d *Daemon) lookStore(ctx context.Context) []admin.Status {
	store := admin.Status{Part: partStore}
	because := func(part string) admin.Status {
		return admin.Status{Part: part, Detail: "It is not known while the store is away.", Because: partStore}
	}
	l, held, err := d.Store.HeldLease(ctx, reconcile.LeaseName)
	var now, oldest time.Time
	if err == nil {
		now, err = d.Store.Now(ctx)
	}
	if w, ok := d.Store.(writable); ok && err == nil {
		err = w.Writable(ctx)
	}
	if err != nil {
		d.Metrics.Leading(false)
		store.Detail = "The store cannot be used: " + brief(err) + "; look at the database of state.url: mmsync doctor --only state"
		return []admin.Status{store, because(partSchema), because(partLease), because(partPushes)}
	}
	store.OK, store.Detail = true, "It answers."
	d.Metrics.Leading(held && l.Holder == d.holder)
	d.follows.Store(held && l.Holder != d.holder)
	lease := admin.Status{Part: partLease, OK: true, Detail: "Nobody has it, for nothing is being worked on."}
	switch {
	case held && l.Holder == d.holder:
		lease.Detail = "This process has it."
	case held:
		lease.Detail = fmt.Sprintf("%s has it until %s; this process takes over if it is not renewed.", l.Holder, l.Expires.UTC().Format(time.RFC3339))
	}
	schema := admin.Status{Part: partSchema, OK: true, Detail: "It is the one this version works with."}
	if current, wanted, err := d.Store.Schema(ctx); err == nil && current > wanted {
		// Migrations take nothing away that the version before works with.
		schema.Detail = fmt.Sprintf("A newer mmsync has brought it from %d to %d; this process goes on until it is replaced, and would not start again.", wanted, current)
	} else if err := d.Store.Ready(ctx); err != nil {
		schema.OK, schema.Detail = false, brief(err)+"; run mmsync state migrate, or the version of mmsync that the store belongs to"
	}
	n, oldest, err := d.Store.CountDue(ctx)
	pushes := admin.Status{Part: partPushes}
	if err != nil {
		pushes.Detail = "Who waits cannot be read: " + brief(err) + "; mmsync doctor --only state"
		return []admin.Status{store, schema, lease, pushes}
	}
	pushes.OK, pushes.Detail = true, "Nobody waits."
	waits := time.Duration(0)
	if n > 0 {
		waits = max(0, now.Sub(oldest))
		pushes.OK, pushes.Detail = waits < longDue, fmt.Sprintf("%d wait, the first for %s.", n, waits.Round(time.Second))
		if !pushes.OK {
			pushes.Detail = fmt.Sprintf("%d wait, the first for %s; mmsync status shows whether somebody works on them, mmsync history --failed what is in the way", n, waits.Round(time.Second))
		}
		d.Metrics.Queue(n, time.Now().Add(-waits))
	} else {
		d.Metrics.Queue(0, time.Time{})
	}
	return []admin.Status{store, schema, lease, pushes}
}

// mattermostProbe asks in turn whose the token is and whether the server is well, never
// two things within 2 s: the second question makes the server write to its database. While
// another process works, whose rate knows nothing of this one's questions, it asks half as
// often.
func (d *Daemon) mattermostProbe(client *mattermost.Client) admin.Probe {
	p := &mattermostLook{client: client, target: d.Target, follows: d.follows.Load}
	return admin.Probe{
		Parts: []string{partMattermost, partToken}, Every: askEvery, Within: askWithin,
		Hangs: "look at the server, and at the network to mattermost.url: mmsync doctor --only mattermost", Check: p.look,
	}
}

// mattermostLook is used by one goroutine.
type mattermostLook struct {
	client *mattermost.Client
	target *mattermost.Target // what is worked with, and knows more
	// follows tells that another process works.
	follows func() bool
	// leftOut says that the last turn was.
	leftOut bool
	last    []admin.Status
	turns   int
	// sick is why the server was not well when it was last asked about itself.
	sick  error
	token admin.Status
}

func (m *mattermostLook) look(ctx context.Context) []admin.Status {
	if m.leftOut = !m.leftOut && m.turns > 1 && m.follows(); !m.leftOut {
		m.last = m.ask(ctx)
	}
	return m.last
}

func (m *mattermostLook) ask(ctx context.Context) []admin.Status {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	m.turns++
	if isOpen, _, _ := m.target.Breaker(); isOpen {
		_ = m.target.Reachable(ctx) // it may be the only one that asks whether the server is back
	}
	if m.turns%2 == 0 {
		return m.said(m.lookServer(ctx))
	}
	err := m.client.ProbeToken(ctx)
	var e *mattermost.APIError
	switch {
	case err == nil:
		m.token = admin.Status{Part: partToken, OK: true, Detail: "The server takes it."}
	case errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden):
		// With its database away the server denies a good token. It was asked about that
		// a moment ago.
		m.token = admin.Status{Part: partToken, Detail: "The server does not accept the token; make a new one, put it where mattermost.token_file says, and see mmsync doctor --only mattermost"}
	case busy(err):
	default:
		return m.said(err)
	}
	return m.said(m.sick)
}

// busy tells that the server was not asked, or did not say, for there is too much to do.
func busy(err error) bool {
	var e *mattermost.APIError
	return errors.Is(err, mattermost.ErrNoTurn) || errors.As(err, &e) && e.Status == http.StatusTooManyRequests
}

// lookServer asks the server about itself and its database.
func (m *mattermostLook) lookServer(ctx context.Context) error {
	h, err := m.client.Ping(ctx)
	switch {
	case busy(err):
		return m.sick
	case err == nil && !h.Database:
		err = errors.New("it answers, but does not reach its database")
	}
	m.sick = err
	return err
}

func (m *mattermostLook) said(err error) []admin.Status {
	server := admin.Status{Part: partMattermost, OK: true, Detail: "It answers, and so does its database."}
	token := m.token
	if token.Part == "" {
		token = admin.Status{Part: partToken, Detail: "The server was not asked yet; ask again in a few seconds.", Because: partMattermost}
	}
	if s := m.target.Token(); token.OK && !s.Dead && s.Why != "" {
		token.Detail = "The server takes it, but " + s.Why
	}
	if isOpen, since, why := m.target.Breaker(); err == nil && isOpen {
		err = fmt.Errorf("calls have failed since %s and are kept back (%s)", since.UTC().Format(time.RFC3339), why)
	}
	if err != nil {
		server.OK, server.Detail = false, "Mattermost cannot be used: "+brief(err)+"; nothing is lost and what is due is done when it is back; mmsync doctor --only mattermost"
		token = admin.Status{Part: partToken, Detail: "It is not known while Mattermost is away.", Because: partMattermost}
	}
	return []admin.Status{server, token}
}

// reacher is a source that can tell cheaply whether it is there.
type reacher interface {
	Reach(ctx context.Context) error
}

func (d *Daemon) sourceProbe(s Source) admin.Probe {
	look := &sourceLook{d: d, source: s, part: "source " + s.Name()}
	return admin.Probe{
		Parts: []string{look.part}, Every: lookEvery, Within: lookWithin,
		Hangs: "look at the source and at the network to it: mmsync doctor --only " + s.Name(),
		Check: func(ctx context.Context) []admin.Status { return []admin.Status{look.look(ctx)} },
	}
}

// sourceLook is used by one goroutine. It keeps the last readings, so that the store is
// asked for later ones alone.
type sourceLook struct {
	d      *Daemon
	source Source
	part   string
	last   state.Read
}

// pastReads is how far back a first look for readings goes.
const pastReads = 31 * 24 * time.Hour

func (l *sourceLook) look(ctx context.Context) admin.Status {
	out := admin.Status{Part: l.part}
	if _, pushed := l.source.(*scim.Source); pushed {
		out.OK, out.Detail = true, "It takes what is pushed."
		return out
	}
	next := "; mmsync doctor --only " + l.source.Name()
	if r, ok := l.source.(reacher); ok {
		if err := r.Reach(ctx); err != nil {
			out.Detail = "It cannot be reached: " + brief(err) + next
			return out
		}
	}
	// Why a reading failed may name somebody, and whoever asks here need not know him.
	const why = "; the log and mmsync status say why"
	now, err := l.readings(ctx)
	failed, ok := l.d.reads.last(l.source.Name())
	switch {
	case ok && failed.at.After(l.last.At): // of this process, and none has read it since
		out.Detail = fmt.Sprintf("The last reading, at %s, failed%s", failed.at.UTC().Format(time.RFC3339), why+next)
	case err != nil:
		out.Detail, out.Because = "When it was last read is not known while the store is away.", partStore
	case l.last.At.IsZero():
		out.OK, out.Detail = true, "It is there, and was not read yet."
	case !l.last.Complete:
		out.Detail = fmt.Sprintf("The last reading, %s ago, was not complete%s", ago(now, l.last.At), why+next)
	default:
		out.OK, out.Detail = true, fmt.Sprintf("It was read completely %s ago: %d entries.", ago(now, l.last.At), l.last.Entries)
	}
	return out
}

// readings learns what was read since the last look.
func (l *sourceLook) readings(ctx context.Context) (now time.Time, err error) {
	if now, err = l.d.Store.Now(ctx); err != nil {
		return now, err
	}
	since := l.last.At
	if since.IsZero() {
		since = now.Add(-pastReads)
	}
	list, err := l.d.Store.Reads(ctx, l.source.Name(), since)
	if err == nil && len(list) > 0 {
		l.last = list[0] // the newest comes first
	}
	return now, err
}

func ago(now, at time.Time) string { return max(0, now.Sub(at)).Round(time.Second).String() }

func (d *Daemon) keyProbe() admin.Probe {
	vault, had := Vault(d.Config), false
	return admin.Probe{
		Parts: []string{partKey}, Every: lookEvery, Within: lookWithin, Hangs: "look at the file system of audit.key_file",
		Check: func(context.Context) []admin.Status {
			out := admin.Status{Part: partKey, OK: true, Detail: "It can be read."}
			switch _, err := vault.Key(false); {
			case err == nil:
				had = true
			case errors.Is(err, keyfile.ErrNoKey) && !had:
				out.Detail = "There is none yet; the first run makes it."
			default:
				out.OK, out.Detail = false, brief(err)+"; until then changes are made and not sealed"
			}
			return []admin.Status{out}
		},
	}
}

// lookListener connects to where clients do.
func lookListener(ctx context.Context, at net.Addr) admin.Status {
	out := admin.Status{Part: partSCIM, OK: true, Detail: "It takes connections on " + at.String() + "."}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, at.Network(), at.String())
	if err != nil {
		out.OK, out.Detail = false, "It takes no connections: "+brief(err)+"; restart mmsync serve, and look at its log before"
		return out
	}
	_ = conn.Close() // nothing was written that could be lost
	return out
}

// brief is an error as one line that is short enough to be read.
func brief(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > shownError {
		text = strings.ToValidUTF8(text[:shownError], "") + "…"
	}
	return text
}
