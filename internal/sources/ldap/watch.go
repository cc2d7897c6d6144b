package ldap

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// watched is who was in one group. A directory changes the group's entry when somebody
// is put into it or taken out, and not his own; so whoever is not in it any more can be
// known only by who was.
type watched struct {
	// Group is the group's DN as the role rules name it, or the part of the user filter
	// that names it.
	Group string `json:"group"`
	Count int    `json:"count"`
	// Digest is of the members, whatever their order.
	Digest string `json:"digest"`
	// Members are anchors of a part of the user filter, and else DNKeys or uids as
	// groups.membersOf gives them, sorted; nil if there are too many to be kept.
	Members []string `json:"members,omitempty"`
}

// maxListed bounds the members that one mark names, over all groups: it is written anew
// with every delta.
const maxListed = 1000

// roll gathers the members of one group.
type roll struct {
	count    int
	sum      [2]uint64
	list     []string
	overfull bool
}

func (r *roll) add(member string) {
	h := sha256.Sum256([]byte(member))
	r.sum[0] += binary.BigEndian.Uint64(h[:8])
	r.sum[1] += binary.BigEndian.Uint64(h[8:16])
	r.count++
	if r.overfull = r.overfull || r.count > maxListed; r.overfull {
		r.list = nil
		return
	}
	r.list = append(r.list, member)
}

func (r *roll) watched(group string) watched {
	out := watched{Group: group, Count: r.count, Members: r.list}
	slices.Sort(out.Members)
	out.Digest = hex.EncodeToString(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.sum[0]), r.sum[1]))
	return out
}

// anyGroup tells that a change of any group may change anybody, so that nothing less
// than a full read follows it.
func (s *Source) anyGroup() bool {
	return s.allGroups || slices.ContainsFunc(s.o.Mapper.Attributes(), func(n string) bool {
		return strings.EqualFold(n, "memberOf") || strings.EqualFold(n, "nsRole")
	})
}

// watch reads who is in the groups that decide about people.
func (s *Source) watch(sess *session, g *groups) ([]watched, error) {
	var out []watched
	if !s.allGroups {
		for _, dn := range s.groupNames {
			members, err := g.membersOf(dn)
			if err != nil {
				return nil, err
			}
			var r roll
			for _, m := range members {
				r.add(m)
			}
			out = append(out, r.watched(dn))
		}
	}
	for _, filter := range filterGroups(s.o.UserFilter) {
		var r roll
		err := s.anchorsOf(sess, s.o.BaseDN, filter, func(anchor, _ string) { r.add(anchor) })
		if err != nil {
			return nil, err
		}
		out = append(out, r.watched(filter))
	}
	listed := 0
	for i := range out {
		if listed += len(out[i].Members); listed > maxListed {
			listed -= len(out[i].Members)
			out[i].Members = nil
		}
	}
	return out, nil
}

// anchorsOf walks entries for their anchors; those without one have an empty anchor.
func (s *Source) anchorsOf(sess *session, base, filter string, each func(anchor, dn string)) error {
	name, _, _ := s.o.Mapper.AnchorAttribute()
	q := query{base: base, filter: filter, attributes: []string{name}, pageSize: s.o.PageSize}
	if s.o.WithoutPaging {
		q.pageSize = 0
	}
	st, err := sess.walk(q, func(entries []*ldap.Entry) error {
		for _, e := range entries {
			rec, err := sess.record(e)
			if err != nil {
				return err
			}
			anchor, err := s.o.Mapper.Anchor(rec)
			if err != nil {
				anchor = ""
			}
			each(anchor, e.DN)
		}
		return nil
	})
	if err == nil && st.ignored {
		err = errNotPaged
	}
	return err
}

var errNotPaged = &oddAnswerError{"the server ignores paging, so that its answer may be cut", "set server_without_paging if it never limits results"}

// moved compares two rolls: who came or went. ok is false if that cannot be told.
func (w watched) moved(now watched) (members []string, ok bool) {
	if w.Digest == now.Digest && w.Count == now.Count {
		return nil, true
	}
	if len(w.Members) != w.Count || len(now.Members) != now.Count {
		return nil, false
	}
	for _, m := range w.Members {
		if _, in := slices.BinarySearch(now.Members, m); !in {
			members = append(members, m)
		}
	}
	for _, m := range now.Members {
		if _, in := slices.BinarySearch(w.Members, m); !in {
			members = append(members, m)
		}
	}
	return members, true
}

// filterGroups finds the parts of a filter that select by memberOf.
func filterGroups(filter string) []string {
	p, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil // New has refused it
	}
	var out []string
	var walk func(*ber.Packet)
	walk = func(p *ber.Packet) {
		switch p.Tag {
		case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
			for _, c := range p.Children {
				walk(c)
			}
		case ldap.FilterPresent: // its own data is the name
		default:
			if names, err := decompiledNames(p); err == nil && strings.EqualFold(names, "memberOf") {
				if text, err := ldap.DecompileFilter(p); err == nil {
					out = append(out, text)
				}
			}
		}
	}
	walk(p)
	slices.Sort(out)
	return slices.Compact(out)
}

func decompiledNames(p *ber.Packet) (string, error) {
	if p.Tag == ldap.FilterExtensibleMatch {
		for _, c := range p.Children {
			if c.Tag == ldap.MatchingRuleAssertionType {
				return c.Data.String(), nil
			}
		}
	} else if len(p.Children) > 0 {
		return p.Children[0].Data.String(), nil
	}
	return "", errors.New("no attribute")
}
