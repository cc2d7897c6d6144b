package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/certtest"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// A service goes on when the authority that signs the server's certificate is replaced,
// once the file that names it is.
func TestAuthorityRotated(t *testing.T) {
	t.Parallel()
	old, fresh := certtest.Valid(t), certtest.Valid(t)
	w := newWorld(t, sqliteStore(), settings{})
	front := certtest.Serve(t, w.sim, old)
	file := filepath.Join(w.dir, "ca.pem")
	certtest.Put(t, file, old.PEM)
	w.configure(settings{
		file: true, url: front.URL, target: "  ca_file: ca.pem\n", limits: "  max_creates: {count: 1000}\n",
		scim: []string{"idp"}, sections: "schedule: {runs: [{name: often, every: 5s}]}\n",
	})
	people := slapdtest.Roster(40)
	w.feed(people[:10])
	s := w.serve()
	there := func(p slapdtest.Person) func() bool {
		return func() bool { _, ok := w.sim.UserByName(p.UID); return ok }
	}
	within(t, 20*time.Second, "the first are there", there(people[9]))

	front.Exchange(fresh)
	w.feed(people[:20])
	within(t, 20*time.Second, "it says that the certificate is not trusted", func() bool {
		return strings.Contains(s.stderr.String(), "certificate signed by unknown authority")
	})
	require.False(t, there(people[19])())

	certtest.Put(t, file, fresh.PEM)
	within(t, 20*time.Second, "it goes on by itself", there(people[19]))
	s.end()
}
