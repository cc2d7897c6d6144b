package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/admin"
	"github.com/mmsync/mmsync/internal/audit/keyfile"
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
	// reachEvery and reachWithin are a directory's, which is asked to let us in each time.
	reachEvery  = 2400 * time.Millisecond
	reachWithin = 1900 * time.Millisecond
	// longDue is how long somebody may wait before pushes count as not well.
	longDue = 15 * time.Minute
	// shownError is how much of an error a part shows, in bytes.
	shownError = 400
)

// probes are the looks at all parts.
func (d *Daemon) probes(pushed net.Addr, server *mattermostLook) []admin.Probe {
	list := []admin.Probe{
		{
			Parts: []string{partStore, partSchema, partLease, partPushes}, Optional: []string{partPushes}, Every: lookEvery, Within: lookWithin,
			Hangs: "look at the database of state.url: mmsync doctor --only state", Check: d.lookStore,
		},
		server.probe(),
	}
	for _, s := range d.Sources {
		list = append(list, d.sourceProbe(s))
	}
	list = append(list, d.keyProbe())
	if pushed != nil {
		list = append(list, admin.Probe{
			Parts: []string{partSCIM}, Every: lookEvery, Within: lookWithin, Hangs: "restart mmsync serve, and look at its log before",
			Check: func(ctx context.Context) []admin.Status { return []admin.Status{d.lookListener(ctx, pushed)} },
		})
	}
	return list
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

// reacher is a source that can tell cheaply whether it is there.
type reacher interface {
	Reach(ctx context.Context) error
}

func (d *Daemon) sourceProbe(s Source) admin.Probe {
	look := &sourceLook{d: d, source: s, part: "source " + s.Name()}
	return admin.Probe{
		Parts: []string{look.part}, Every: reachEvery, Within: reachWithin,
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

// lookListener connects to where clients do, and looks at the certificate they are shown.
func (d *Daemon) lookListener(ctx context.Context, at net.Addr) admin.Status {
	out := admin.Status{Part: partSCIM, OK: true, Detail: "It takes connections on " + at.String() + "."}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, at.Network(), at.String())
	if err != nil {
		out.OK, out.Detail = false, "It takes no connections: "+brief(err)+"; restart mmsync serve, and look at its log before"
		return out
	}
	_ = conn.Close() // nothing was written that could be lost
	if pair := d.Config.SCIM.TLS; pair != nil {
		ends, err := certificateEnds(pair.CertFile)
		if err == nil && !time.Now().Before(ends) {
			out.OK, out.Detail = false, fmt.Sprintf("Its certificate ended at %s, and no identity provider connects; put a new pair where scim.tls says, it is read by itself", ends.Format(time.RFC3339))
		}
	}
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
