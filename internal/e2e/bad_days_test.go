package e2e_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// database is a PostgreSQL store whose bad days are made: mmsync comes to it through a
// gate, as a role of its own.
type database struct {
	t          testing.TB
	gate       *gate
	super      string // URL
	role       string
	restricted string // URL, for mmsync
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	if os.Getenv(pgtest.EnvURL) != "" {
		t.Skip("makes a role, which a server that was named may not let it")
	}
	d := &database{t: t, super: pgtest.URL(t)}
	u, err := url.Parse(d.super)
	require.NoError(t, err)
	schema := u.Query().Get("search_path")
	d.role = schema + "_role"
	d.sql("create role " + d.role + " login")
	d.sql("grant all on schema " + schema + " to " + d.role)
	t.Cleanup(func() {
		d.sql("drop owned by " + d.role)
		d.sql("drop role " + d.role)
	})
	u.User = url.User(d.role)
	d.gate, d.restricted = gated(t, u.String())
	return d
}

func (d *database) store() store {
	return store{"postgres", func(testing.TB, string) string { return d.restricted }}
}

func (d *database) sql(statement string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, d.super)
	require.NoError(d.t, err)
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	require.NoError(d.t, err, statement)
}

// throwOut ends the role's connections, as a restart does.
func (d *database) throwOut() {
	d.t.Helper()
	d.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = '" + d.role + "'")
}

// troubles are what a database can be like for a while.
func (d *database) troubles() map[string]trouble {
	alter := func(now, then string) func() func() {
		return func() func() {
			d.sql("alter role " + d.role + " " + now)
			d.throwOut()
			return func() {
				d.sql("alter role " + d.role + " " + then)
				d.throwOut()
			}
		}
	}
	return map[string]trouble{
		"is away":                  {func() func() { d.gate.shut(); return d.gate.again }, "see that it runs and that", true},
		"was restarted":            {func() func() { d.throwOut(); return func() {} }, "", false},
		"has no connection left":   {alter("connection limit 0", "connection limit -1"), "no connection left for mmsync; raise max_connections", false},
		"only reads, as a standby": {alter("set default_transaction_read_only = on", "reset default_transaction_read_only"), "the database only reads", true},
	}
}

type trouble struct {
	begin func() (over func())
	says  string
	long  bool // longer than a lease lasts
}

// length is how long it lasts; MMSYNC_TEST_EVERY has it last until even a run that waits
// for its lease has given up.
func (tr trouble) length() time.Duration {
	switch {
	case !tr.long:
		return 5 * time.Second
	case os.Getenv("MMSYNC_TEST_EVERY") != "":
		return 80 * time.Second
	default:
		return leaseTTL + 5*time.Second
	}
}

// persist pushes until it is taken, as a provider does.
func (p *provider) persist(method, path string, body any) answer {
	var last answer
	var err error
	for until := time.Now().Add(2 * time.Minute); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		last, err = p.try(method, path, body)
		if err == nil && (last.ok() || last.status == http.StatusConflict) {
			return last
		}
		if err == nil && last.status < 500 {
			break
		}
	}
	p.t.Errorf("%s %s: %d %v %v", method, path, last.status, last.body, err)
	return last
}

func TestBadDay_database(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"is away", "was restarted", "has no connection left", "only reads, as a standby"} {
		t.Run("a service whose database "+name+" goes on when that is over", func(t *testing.T) {
			t.Parallel()
			const people = 30
			d := newDatabase(t)
			w := newWorld(t, d.store(), settings{scim: []string{"idp"}})
			idp := w.provider("idp")
			s := w.serve()
			idp.to(s)
			ids := make([]string, people)
			side(people, 8, func(i int) { ids[i] = idp.create(i) })
			within(t, 20*time.Second, "all are there", func() bool { return w.active() == people })

			tr := d.troubles()[name]
			over := tr.begin()
			done := make(chan struct{})
			go func() {
				defer close(done)
				side(people, 8, func(i int) {
					patch := object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": []object{
						{"op": "replace", "value": object{"title": "Chief", "active": i%3 != 0}},
					}}
					idp.persist(http.MethodPatch, "/Users/"+ids[i], patch)
				})
			}()
			time.Sleep(tr.length())
			select {
			case <-s.ended:
				require.Fail(t, "the service ended", s.stderr.String())
			default:
			}
			if tr.says != "" {
				within(t, 20*time.Second, tr.says, func() bool { return strings.Contains(s.stderr.String(), tr.says) })
				require.Less(t, strings.Count(s.stderr.String(), `"pushes wait"`), 10, "said again and again")
			}
			over()
			<-done
			db := w.observed()
			w.calm(db, time.Minute)
			for i, u := range w.pushed(people) {
				require.NotNil(t, u, "p%04d", i)
				require.Equal(t, i%3 != 0, u.Active(), "p%04d", i)
				if u.Active() {
					require.Equal(t, "Chief", u.Position, "p%04d", i)
				}
			}
			s.end()
			requireJournal(t, w, time.Time{})
		})
		t.Run("a sync whose database "+name+" in the middle of it loses nothing", func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("waits until calls of the run before cannot arrive any more, 80 s")
			}
			d := newDatabase(t)
			people := slapdtest.Roster(120)
			w := newWorld(t, d.store(), settings{file: true})
			w.feed(people)
			w.sim.ResetCalls()
			tr := d.troubles()[name]
			over := make(chan func(), 1)
			w.atCreation(50, func() { over <- tr.begin() })
			r := w.mmsync("sync", "-q")
			if r.code != 0 { // a restart may be over before the next statement
				r.exits(1)
				if !strings.Contains(r.stderr, "the database is stopping or starting") { // what the first statement met
					r.says(tr.says)
				}
			}
			w.sim.OnCall(nil)
			(<-over)()
			within(t, 20*time.Second, "the lease of the run before is over", func() bool {
				return w.mmsync("sync", "-q", "--wait-lock", "30s").code == 0
			})
			requireStaff(t, w, people)
			requireJournal(t, w, time.Time{})
			w.quiet()
		})
	}
}

// edit changes the configuration's text.
func (w *world) edit(old, now string) {
	w.t.Helper()
	b, err := os.ReadFile(w.config)
	require.NoError(w.t, err)
	require.Contains(w.t, string(b), old)
	require.NoError(w.t, os.WriteFile(w.config, []byte(strings.Replace(string(b), old, now, 1)), 0o600))
}

func TestBadDay_start(t *testing.T) {
	t.Parallel()
	t.Run("a configuration that was broken before a restart is refused with its line", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sqliteStore(), settings{scim: []string{"idp"}})
		s := w.serve()
		s.end()
		w.edit("max_in_flight: 4", "max_in_flight: many")
		w.mmsync("serve").exits(78).says("config.yaml:6:")
		w.edit("max_in_flight: many", "max_inflight: 4")
		w.mmsync("serve").exits(78).says("did you mean max_in_flight?")
	})
	t.Run("an address that another program has is said with what to do", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sqliteStore(), settings{scim: []string{"idp"}})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		w.edit("listen: 127.0.0.1:0", "listen: "+l.Addr().String())
		w.mmsync("serve").exits(1).says("another program has " + l.Addr().String() + " already; stop it")
	})
	t.Run("a store that is not there is said with what to do", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		w := newWorld(t, d.store(), settings{scim: []string{"idp"}})
		d.gate.shut()
		w.mmsync("serve").exits(1).says("the database is not there")
		d.gate.again()
	})
}

func TestBadDay_token(t *testing.T) {
	t.Parallel()
	const people = 20
	w := newWorld(t, sqliteStore(), settings{scim: []string{"idp"}})
	file := filepath.Join(w.dir, "token")
	put := func(token string) { require.NoError(t, os.WriteFile(file, []byte(token), 0o600)) }
	put(w.sim.AdminToken())
	w.edit("token: ${MMSYNC_E2E_TOKEN}", "token_file: token")
	idp := w.provider("idp")
	s := w.serve()
	idp.to(s)
	ids := make([]string, people)
	side(people, 8, func(i int) { ids[i] = idp.create(i) })
	within(t, 20*time.Second, "all are there", func() bool { return w.active() == people })

	w.sim.EnableToken(w.sim.AdminToken(), false)
	w.sim.ResetCalls()
	began := time.Now()
	side(people, 8, func(i int) { idp.patch(ids[i], object{"active": false}) })
	const says = "Mattermost does not accept mmsync's token any more"
	within(t, 20*time.Second, "it is said", func() bool { return strings.Contains(s.stderr.String(), says) })
	time.Sleep(4 * time.Second)
	require.LessOrEqual(t, strings.Count(s.stderr.String(), `"level":"ERROR"`), 2, "that the token is dead, and that pushes wait:\n%s", s.stderr.String())
	refused := 0
	for _, c := range w.sim.Calls() {
		if c.Status == http.StatusUnauthorized {
			refused++
		}
	}
	require.LessOrEqual(t, refused, 2*(int(time.Since(began).Seconds())+1), "nobody hammers")
	require.Equal(t, people, w.active())

	put(w.sim.AddToken(w.sim.AdminID()))
	within(t, 10*time.Second, "all who left are off", func() bool { return w.active() == 0 })
	s.end()
	require.Equal(t, 1, strings.Count(s.stderr.String(), says+", so that nothing is written"), "once:\n%s", s.stderr.String())
}
