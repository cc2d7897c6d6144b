package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// reading is how a directory is read in a world: what it is, and what of it is asked for.
type reading struct {
	kind       ldaptest.Kind
	url        string
	other      string // a second address, if any
	caFile     string // with an ldaps:// url
	user, pass string // the kind's reader unless set
	base       string // the kind's people unless set
	delta      string // a way of package ldap
	membership string // memberOf, or member
	nested     string // a way of the configuration; off unless set
	page       int    // 1000 unless set
	patience   string // query_timeout; 10s unless set
	least      int    // min_source_entries, in percent; 1 unless set
	admins     string // the group whose members are admins; chat-admins unless set
	also       string // further settings of the source, in YAML
	fields     []mmsim.CustomField
}

// newDirectoryWorld makes a world whose directory is any but slapd, and whose runs are
// made in this process: with missing: 0s, and with limits that let everybody go, so that
// nothing but the reading of the directory stands between an absence and its leaver.
func newDirectoryWorld(t testing.TB, r reading) (*world, *daemon.Daemon) {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), sim: mmsim.New(mmsim.Options{MaxCallBody: 512, CustomFields: r.fields})}
	w.settings.url = w.sim.Start(t)
	w.stateURL = sqliteStore().url(t, w.dir)
	w.addForeign()
	w.agree()
	t.Cleanup(w.checkForeign)
	w.config = filepath.Join(w.dir, "config.yaml")
	require.NoError(t, os.WriteFile(w.config, []byte(r.yaml(w)), 0o600))
	c, err := config.Load(w.config, func(string) (string, bool) { return w.sim.AdminToken(), true })
	require.NoError(t, err)
	d, err := daemon.Open(context.WithoutCancel(t.Context()), c, daemon.Options{Logger: slog.New(slog.DiscardHandler), Version: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return w, d
}

func (r reading) yaml(w *world) string {
	k := r.kind
	filter, off, id, login := "(objectClass=inetOrgPerson)", `attr.employeeType == "disabled"`, "attr."+k.Anchor(), "attr.uid"
	if k == ldaptest.ActiveDirectory {
		filter, off, id, login = "(&(objectCategory=person)(objectClass=user)(mail=*))", "bit(attr.userAccountControl, 2) || fileTimePast(attr.accountExpires)", "attr.objectGUID.guid()", "attr.sAMAccountName"
	}
	groups := k.GroupsDN()
	if k == ldaptest.ActiveDirectory {
		groups = k.BaseDN() // primary groups stand elsewhere
	}
	urls := strconv.Quote(r.url)
	if r.other != "" {
		urls += ", " + strconv.Quote(r.other)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
mattermost: {url: %q, token: "${TOKEN}", rate_limit: {per_second: 100000}, outage_wait: 0s}
state: {url: %q}
sources:
  - name: corp
    type: ldap
    connection_url: [%s]
    ca_file: %q
    bind_username: %q
    bind_password: %q
    base_dn: %q
    user_filter: %q
    disabled_when: '%s'
    max_page_size: %d
    query_timeout: %s
    delta: %s
    groups: {membership_attribute: %s, base_dn: %q, nested: %s}
%smapping:
  defaults:
    id_attribute: %s
    username_attribute: lower(%s)
    email_attribute: lower(attr.mail)
    first_name_attribute: attr.givenName
    last_name_attribute: attr.sn
    position_attribute: attr.title
roles:
  - {role: system_admin, source: corp, groups: [%q], grant: allow}
lifecycle:
  deactivate: {look_again: 0s, grace: {disabled: 0s, missing: 0s, out_of_scope: 0s}}
guards:
  max_deactivations: {count: 100000}
  max_creates: {count: 100000}
  max_updates: {count: 100000}
  max_admin_grants: {count: 100000}
  min_source_entries: {percent_of_last: %d}
`, w.settings.url, w.stateURL, urls, r.caFile, cmp.Or(r.user, k.ReaderDN()), cmp.Or(r.pass, ldaptest.Password), cmp.Or(r.base, k.PeopleDN()), filter, off,
		max(r.page, 1), cmp.Or(r.patience, "10s"), cmp.Or(r.delta, ldap.DeltaAuto), cmp.Or(r.membership, "memberOf"), groups, cmp.Or(r.nested, "off"), r.also, id, login, cmp.Or(r.admins, k.GroupDN("chat-admins")), max(r.least, 1))
	return b.String()
}

// synced makes a run in this process; changes reads only what changed, if it may.
func synced(t testing.TB, d *daemon.Daemon, changes bool) (reconcile.Report, error) {
	t.Helper()
	return d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test", RequestedBy: "test", Changes: changes})
}
