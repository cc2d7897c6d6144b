package ldap_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// believer is somebody who knows a source by one full read and by deltas alone.
type believer struct {
	t      *testing.T
	s      *ldap.Source
	mark   string
	knows  map[string]identity.Identity // by anchor, without Ref: a container's move changes that of many
	fulls  int
	deltas int
}

func known(list []identity.Identity) map[string]identity.Identity {
	out := map[string]identity.Identity{}
	for _, id := range list {
		id.Ref = ""
		out[id.Key.Anchor] = id
	}
	return out
}

func believe(t *testing.T, s *ldap.Source) *believer {
	b := &believer{t: t, s: s}
	b.full()
	return b
}

func (b *believer) full() {
	snap := snapshot(b.t, b.s)
	require.True(b.t, snap.Complete, snap.Incomplete)
	require.NotEmpty(b.t, snap.Mark)
	b.mark, b.knows = snap.Mark, known(snap.Identities)
	b.fulls++
}

// hear takes one delta and compares with a full read. unseen are anchors whose going the
// way of asking cannot show.
func (b *believer) hear(what string, unseen map[string]bool) {
	d := changes(b.t, b.s, b.mark)
	truth := snapshot(b.t, b.s)
	require.True(b.t, truth.Complete, truth.Incomplete)
	want := known(truth.Identities)
	if d.Full != "" {
		b.full()
		return
	}
	b.deltas++
	maps.Copy(b.knows, known(d.Identities))
	for _, anchor := range d.Gone {
		require.NotContains(b.t, want, anchor, "%s: told that somebody is gone who is there", what)
		delete(b.knows, anchor)
	}
	b.mark = d.Mark
	left := maps.Clone(b.knows)
	for anchor, may := range unseen {
		if _, there := want[anchor]; may && !there {
			delete(left, anchor)
		}
	}
	require.Equal(b.t, want, left, what)
}

// world is a directory that random changes are made to. An op gives a word on what it
// did, "" if it could not.
type world struct {
	rnd    *rand.Rand
	n      int
	place  map[string]string // DN by uid of those who are there
	gone   map[string]bool   // anchors of those whose deletion cannot be seen
	died   []string          // anchors of those deleted in this round
	member map[string]bool   // uids in the group
}

func (w *world) pick(in func(uid, dn string) bool) (uid, dn string) {
	var all []string
	for _, u := range slices.Sorted(maps.Keys(w.place)) {
		if in(u, w.place[u]) {
			all = append(all, u)
		}
	}
	if len(all) == 0 {
		return "", ""
	}
	uid = all[w.rnd.IntN(len(all))]
	return uid, w.place[uid]
}

func below(base string) func(uid, dn string) bool {
	return func(_, dn string) bool { return strings.HasSuffix(dn, ","+base) }
}

const (
	awayDN  = "ou=away," + slapdtest.BaseDN
	innerDN = "ou=inner," + slapdtest.PeopleDN
)

func (w *world) members() (dns []string) {
	for _, u := range slices.Sorted(maps.Keys(w.member)) {
		if dn := w.place[u]; dn != "" {
			dns = append(dns, dn)
		}
	}
	return append(dns, slapdtest.ReaderDN) // the class wants one
}

// slapdOps are the changes that are made to slapd.
func (w *world) slapdOps(srv *slapdtest.Server, o slapdtest.Options) []func() string {
	group := slapdtest.GroupDN("chat-admins")
	anyone := func(string, string) bool { return true }
	return []func() string{
		func() string {
			w.n++
			uid := fmt.Sprintf("new%d", w.n)
			p := slapdtest.Person{UID: uid, DN: "uid=" + uid + "," + slapdtest.PeopleDN, First: "New", Last: uid, Mail: uid + "@example.test"}
			srv.AddPerson(p)
			w.place[uid] = p.DN
			return "add " + uid
		},
		func() string {
			uid, dn := w.pick(anyone)
			w.n++
			srv.Modify(dn, "title", fmt.Sprintf("Title %d", w.n))
			return "modify " + uid
		},
		func() string {
			uid, dn := w.pick(anyone)
			w.n++
			name, parent := fmt.Sprintf("other%d", w.n), dn[strings.Index(dn, ",")+1:]
			srv.ModifyDN(dn, "uid="+name, "")
			delete(w.place, uid)
			w.place[name] = "uid=" + name + "," + parent
			if w.member[uid] { // slapd's overlay memberof follows
				delete(w.member, uid)
				w.member[name] = true
			}
			return "rename " + uid + " to " + name
		},
		func() string {
			from, to := slapdtest.PeopleDN, awayDN
			if w.rnd.IntN(2) == 0 {
				from, to = to, from
			}
			uid, dn := w.pick(func(_, dn string) bool { return dn[strings.Index(dn, ",")+1:] == from })
			if uid == "" {
				return ""
			}
			srv.ModifyDN(dn, "uid="+uid, to)
			w.place[uid] = "uid=" + uid + "," + to
			return "move " + uid + " to " + to
		},
		func() string {
			uid, dn := w.pick(anyone)
			kind := []string{"external", "staff", "disabled"}[w.rnd.IntN(3)]
			srv.Modify(dn, "employeeType", kind)
			return "make " + uid + " " + kind
		},
		func() string {
			uid, dn := w.pick(anyone)
			w.died = append(w.died, srv.EntryUUID(dn))
			srv.Delete(dn)
			delete(w.place, uid)
			delete(w.member, uid)
			return "delete " + uid
		},
		func() string {
			uid, _ := w.pick(anyone)
			w.member[uid] = !w.member[uid]
			if !w.member[uid] {
				delete(w.member, uid)
			}
			srv.Modify(group, "member", w.members()...)
			return fmt.Sprintf("%s in the group: %v", uid, w.member[uid])
		},
		func() string {
			from, to := innerDN, awayDN
			if uid, _ := w.pick(below("ou=inner," + awayDN)); uid != "" {
				from, to = "ou=inner,"+awayDN, slapdtest.PeopleDN
			} else if uid, _ := w.pick(below(innerDN)); uid == "" {
				return ""
			}
			srv.ModifyDN(from, "ou=inner", to)
			for uid, dn := range w.place {
				if rest, ok := strings.CutSuffix(dn, ","+from); ok {
					w.place[uid] = rest + ",ou=inner," + to
				}
			}
			srv.Modify(group, "member", w.members()...) // the overlay follows single entries only
			return "move " + from + " to " + to
		},
		func() string {
			srv.Restart(o)
			return "restart"
		},
	}
}

// TestSource_Changes_property makes random changes and holds what deltas tell against
// full reads. What a way cannot see by its kind is written down here: a stamp is left by
// nothing that was deleted, and RFC 4533 does not name the deleted after a restart.
func TestSource_Changes_property(t *testing.T) {
	t.Parallel()
	const users, rounds = 30, 25
	ldif := "dn: " + awayDN + "\nobjectClass: organizationalUnit\nou: away\n\ndn: " + innerDN + "\nobjectClass: organizationalUnit\nou: inner\n"
	for mode, groups := range map[string]ldap.GroupOptions{"memberOf": {Mode: ldap.GroupsMemberOf}, "member": {Mode: ldap.GroupsSearch, BaseDN: slapdtest.GroupsDN}} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(mode, seed), func(t *testing.T) {
				t.Parallel()
				o := slapdtest.Options{Users: users, LDIF: ldif}
				eachWay(t, o, func(t *testing.T, srv *slapdtest.Server, way string) {
					o := o
					o.SyncProvider = true
					w := &world{rnd: rand.New(rand.NewPCG(seed, 7)), place: map[string]string{}, gone: map[string]bool{}, member: map[string]bool{}} //nolint:gosec // repeatable
					people := slapdtest.Roster(users)
					for i, p := range people {
						w.place[p.UID] = p.DN
						if i < 2 {
							w.member[p.UID] = true
						}
						if i%5 == 0 {
							srv.ModifyDN(p.DN, "uid="+p.UID, innerDN)
							w.place[p.UID] = "uid=" + p.UID + "," + innerDN
						}
					}
					srv.Modify(slapdtest.GroupDN("chat-admins"), "member", w.members()...)
					s := newSource(t, srv.URL, inDelta(way, admins(slapdtest.GroupDN("chat-admins"))), func(o *ldap.Options) {
						o.BaseDN, o.UserFilter, o.Groups = slapdtest.PeopleDN, "(&(objectClass=inetOrgPerson)(!(employeeType=external)))", groups
					})
					b := believe(t, s)
					ops := w.slapdOps(srv, o)
					for range rounds {
						var did []string
						w.died = nil
						for range 1 + w.rnd.IntN(3) {
							if word := ops[w.rnd.IntN(len(ops))](); word != "" {
								did = append(did, word)
							}
						}
						for _, anchor := range w.died {
							w.gone[anchor] = way == ldap.DeltaTimestamp || slices.Contains(did, "restart")
						}
						b.hear(strings.Join(did, ", "), w.gone)
					}
					require.Equal(t, 1, b.fulls, "no need of a full read between")
					require.Equal(t, rounds, b.deltas)
				})
			})
		}
	}
}
