package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// world writes a configuration for a file of two people and a server.
func world(t *testing.T, sim *mmsim.Server, store string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if store == "" {
		store = "sqlite:" + filepath.Join(dir, "state.db")
	}
	people := "id,login,mail\ne1,ada,ada@example.test\ne2,grace,grace@example.test\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "people.csv"), []byte(people), 0o600))
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s"}
state: {url: "%s"}
sources: [{name: hr, type: file, path: people.csv}]
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail}}
`, sim.Start(t), sim.AdminToken(), store), nil)
	require.NoError(t, err)
	return c
}

func TestOpen(t *testing.T) {
	t.Parallel()
	stores := map[string]func(*testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := mmsim.New(mmsim.Options{})
			c := world(t, sim, store(t))
			d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
			require.NoError(t, err)
			rep, err := d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
			require.NoError(t, err)
			require.Equal(t, 2, rep.Counts.Done)
			require.NoError(t, d.Close())

			// What is opened for reading lets nothing through, whatever the engine does.
			require.NoError(t, os.WriteFile(c.Sources[0].File.Path, []byte("id,login,mail\ne1,ada.king,ada@example.test\ne2,grace,grace@example.test\n"), 0o600))
			before := len(sim.Writes())
			d, err = daemon.Open(t.Context(), c, daemon.Options{ReadOnly: true})
			require.NoError(t, err)
			_, err = d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
			require.NoError(t, d.Close())
			require.Len(t, sim.Writes(), before, "sync said: %v", err)
			_, ok := sim.UserByName("ada")
			require.True(t, ok)
		})
	}
}

func TestOpenStore_saysWhichStore(t *testing.T) {
	t.Parallel()
	c := world(t, mmsim.New(mmsim.Options{}), "sqlite:"+filepath.Join(t.TempDir(), "nowhere", "state.db"))
	_, err := daemon.OpenStore(t.Context(), c)
	require.ErrorIs(t, err, daemon.ErrStore)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Two entries whose expression names an attribute: what it gives, and what the
// entry does not have.
func TestEval(t *testing.T) {
	t.Parallel()
	c := world(t, mmsim.New(mmsim.Options{}), "")
	got, found, err := daemon.Eval(t.Context(), c, nil, "", "grace", `attr.login + "/" + attr.Departement`)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "grace/", got.Value)
	require.Equal(t, []string{"Departement"}, got.Absent)
	require.Equal(t, []string{"id", "login", "mail"}, got.Names)
	_, found, err = daemon.Eval(t.Context(), c, nil, "", "nobody", "attr.login")
	require.NoError(t, err)
	require.False(t, found)
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
