package ldap

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/slapdtest"
)

// before does something once, before what holds a text is sent.
type before struct {
	net.Conn
	text string
	do   func()
}

func (b *before) Write(p []byte) (int, error) {
	if b.do != nil && bytes.Contains(p, []byte(b.text)) {
		do := b.do
		b.do = nil
		do()
	}
	return b.Conn.Write(p)
}

// A group that is renamed while those within it are followed does not lose its members.
func TestGroups_renamedMeanwhile(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(12)
	const inner, outer = "cn=inner," + slapdtest.GroupsDN, "cn=outer," + slapdtest.GroupsDN
	group := func(dn, cn, member string) string {
		return "dn: " + dn + "\nobjectClass: groupOfNames\ncn: " + cn + "\nmember: " + member + "\n\n"
	}
	srv := slapdtest.Start(t, slapdtest.Options{Users: 12, LDIF: group(inner, "inner", people[3].DN) + group(outer, "outer", inner)})
	g := openGroups(t, srv.URL, GroupOptions{Mode: GroupsSearch, Nested: NestedWalk}, outer)
	require.Empty(t, g.fault)

	again := g.s.newGroups(g.sess)
	hook := &before{Conn: g.sess.entries.Conn, text: outer, do: func() { srv.ModifyDN(inner, "cn=renamed", "") }}
	g.sess.entries.Conn = hook
	again.readBelow()
	require.Nil(t, hook.do, "nothing was renamed")
	require.Contains(t, again.fault, "could not read the group "+inner+", so that roles stay as they are: it was listed, and is not there any more")
}
