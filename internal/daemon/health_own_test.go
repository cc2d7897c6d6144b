package daemon_test

import (
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What breaks of the service itself is named as what is around it.
func TestServe_readyz_names_its_own_parts_within_5s(t *testing.T) {
	t.Parallel()
	t.Run("a listener that takes no connections", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		require.Contains(t, w.ready(t).detail("scim listener"), "It takes connections on "+w.scim.Addr().String())
		require.NoError(t, w.scim.Close())
		w.names(t, "scim listener", "It takes no connections: ")
	})
	t.Run("a listener whose certificate ends, and is replaced", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		write := func(serial int64, until time.Time) {
			pair, text := selfSigned(t, serial, time.Now().Add(-time.Hour), until)
			private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
			require.NoError(t, os.WriteFile(cert, text, 0o600))
		}
		write(1, time.Now().Add(time.Hour))
		w := watch(t, "", "scim: {listen: \"127.0.0.1:0\", tls: {cert_file: "+cert+", key_file: "+key+"}}\n")
		write(2, time.Now().Add(-time.Minute))
		w.names(t, "scim listener", "put a new pair where scim.tls says")
		write(3, time.Now().Add(time.Hour))
		w.mended(t)
	})
	t.Run("a store of an older version", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		var last int64
		db := w.open(t)
		require.NoError(t, db.QueryRow("select max(version_id) from goose_db_version").Scan(&last))
		w.exec(t, db, "update goose_db_version set is_applied = 0 where version_id = ?", last)
		w.names(t, "schema", "run mmsync state migrate")
		w.exec(t, db, "update goose_db_version set is_applied = 1 where version_id = ?", last)
		w.mended(t)
		// What a newer one did to it takes nothing away.
		w.exec(t, db, "insert into goose_db_version (version_id, is_applied) values (?, 1)", last+1)
		require.Eventually(t, func() bool { return w.ready(t).detail("schema") != "It is the one this version works with." }, slack*5*time.Second, 50*time.Millisecond)
		r := w.ready(t)
		require.Empty(t, r.Broken)
		require.Contains(t, r.detail("schema"), "this process goes on until it is replaced")
	})
	t.Run("somebody who was pushed and waits for long", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		db := w.open(t)
		const due = `insert into scim_due (source, anchor, is_leaver, since_at, after_at, attempts, is_held, reason, note)
			values ('idp', ?, 0, ?, ?, 3, 0, 'a reason', '')`
		waits := func(who string, since time.Duration) {
			w.exec(t, db, due, who, time.Now().Add(-since).UnixMicro(), time.Now().Add(time.Hour).UnixMicro())
		}
		waits("a", 14*time.Minute)
		require.Eventually(t, func() bool { return w.ready(t).detail("pushes") != "Nobody waits." }, slack*5*time.Second, 50*time.Millisecond)
		require.Empty(t, w.ready(t).Broken, "a quarter of an hour is not over")
		waits("b", 16*time.Minute)
		r, took := w.until(t, []string{"pushes"})
		require.LessOrEqual(t, took, slack*5*time.Second)
		require.Contains(t, r.detail("pushes"), "2 wait, the first for 16m")
		require.Equal(t, http.StatusOK, r.status, "another instance would not make them go faster")
		_, metrics := w.get(t, "/metrics")
		require.Contains(t, metrics, "mmsync_part_ok{part=\"pushes\"} 0\n")
		w.exec(t, db, "delete from scim_due")
		w.mended(t)
	})
}

// open opens the SQLite store beside the service.
func (w *watched) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+w.store+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func (w *watched) exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// held is a listener whose closing nobody who accepts is told of, as when an address is
// taken away below a program.
type held struct {
	net.Listener
	once sync.Once
	end  chan struct{}
}

func heldOpen(l net.Listener) *held { return &held{Listener: l, end: make(chan struct{})} }

func (h *held) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		<-h.end
	}
	return c, err
}

func (h *held) Close() error {
	h.once.Do(func() { close(h.end) })
	return h.Listener.Close()
}
