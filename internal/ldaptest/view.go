package ldaptest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// replica is one server's own view: where its update sequence numbers begin, and
// who it is (MS-ADTS 3.1.1.1.9).
type replica struct {
	index      int
	invocation string // 16 bytes
	offset     int64
	hideUSN    bool
}

func (r *replica) usn(seq int64) string { return strconv.FormatInt(r.offset+seq, 10) }

// values gives what an entry shows of an attribute, computed ones included.
func (d *directory) values(n *node, name string, r *replica) []string {
	key := strings.ToLower(name)
	stamp := func(t time.Time) []string { return []string{t.UTC().Format("20060102150405Z")} }
	switch key {
	case "modifytimestamp":
		return stamp(n.changedAt)
	case "createtimestamp":
		return stamp(n.createdAt)
	case "memberof":
		return d.memberOf(n)
	}
	switch d.kind {
	case ActiveDirectory:
		if v, ok := d.valuesAD(n, key, r); ok {
			return v
		}
	case DS389:
		switch key {
		case "nsuniqueid":
			return []string{uniqueIDText(n.id)}
		case "entrydn":
			return []string{n.key}
		case "entryid":
			return []string{strconv.FormatInt(n.created, 10)}
		case "entryuuid":
			return nil // its plugin is off unless switched on
		}
	case Plain, OpenLDAP:
		switch key {
		case "entryuuid":
			return []string{uuidText(n.id)}
		case "entrydn":
			return []string{n.dn}
		case "entrycsn":
			if d.kind == OpenLDAP {
				return []string{csn(n.changedAt, n.changed)}
			}
		case "structuralobjectclass":
			if d.kind == OpenLDAP {
				return n.stored("objectClass")[len(n.stored("objectClass"))-1:]
			}
		}
	}
	return n.stored(name)
}

func (d *directory) valuesAD(n *node, key string, r *replica) (values []string, computed bool) {
	stamp := func(t time.Time) []string { return []string{t.UTC().Format("20060102150405.0Z")} }
	switch key {
	case "objectguid":
		return []string{n.id}, true
	case "objectsid":
		if n.rid != 0 {
			return []string{domainSID(n.rid)}, true
		}
		if n.key == dnKey(d.base) {
			return []string{domainSID(0)}, true
		}
		return nil, true
	case "usnchanged":
		if r.hideUSN {
			return nil, true
		}
		return []string{r.usn(n.changed)}, true
	case "usncreated":
		return []string{r.usn(n.created)}, true
	case "whenchanged":
		return stamp(n.changedAt), true
	case "whencreated":
		return stamp(n.createdAt), true
	case "distinguishedname":
		return []string{n.dn}, true
	case "name":
		name, _ := splitRDN(first(splitDN(n.dn)))
		return n.stored(name), true
	case "parentguid":
		_, parent := splitDN(n.dn)
		if p := d.find(parent); p != nil {
			return []string{p.id}, true
		}
		return nil, true
	case "tokengroups":
		if n.rid == 0 {
			return nil, true
		}
		return d.tokenGroups(n), true
	case "msds-user-account-control-computed":
		if !n.is("user") {
			return nil, true
		}
		return []string{d.computedControl(n)}, true
	}
	return nil, false
}

// memberOf gives the groups that name an entry as their member. Where it is an
// overlay's or a plugin's, values that were loaded count too.
func (d *directory) memberOf(n *node) []string {
	if n.deleted || d.kind == Plain {
		return n.stored("memberOf")
	}
	var out []string
	seen := map[string]bool{}
	for _, g := range d.groupsOf(n.key) {
		if !seen[g.key] {
			seen[g.key] = true
			out = append(out, g.dn)
		}
	}
	for _, v := range n.stored("memberOf") {
		if k := dnKey(v); !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out
}

// names lists the attributes an entry may show, in a fixed order.
func (d *directory) names(n *node) []string {
	out := map[string]string{}
	for key, a := range n.attrs {
		if len(a.values) > 0 {
			out[key] = a.name
		}
	}
	computed := []string{"memberOf", "modifyTimestamp", "createTimestamp"}
	switch d.kind {
	case ActiveDirectory:
		computed = append(computed, "objectGUID", "objectSid", "uSNChanged", "uSNCreated", "whenChanged", "whenCreated", "distinguishedName", "name",
			"parentGUID", "tokenGroups", "msDS-User-Account-Control-Computed")
	case DS389:
		computed = append(computed, "nsUniqueId", "entryDN", "entryid")
	case OpenLDAP:
		computed = append(computed, "entryUUID", "entryDN", "entryCSN", "structuralObjectClass")
	case Plain:
		computed = append(computed, "entryUUID", "entryDN")
	}
	for _, name := range computed {
		out[strings.ToLower(name)] = name
	}
	names := make([]string, 0, len(out))
	for _, key := range slices.Sorted(maps.Keys(out)) {
		names = append(names, out[key])
	}
	return names
}

// constructed attributes exist only for those who name them, + not counting
// (MS-ADTS 3.1.1.4.5).
func constructed(name string) bool {
	switch strings.ToLower(name) {
	case "tokengroups", "msds-user-account-control-computed", "parentguid":
		return true
	}
	return false
}

// csn writes a change sequence number as OpenLDAP does (draft-ietf-ldup-model):
// here its counter is our sequence, so that it can be read back.
func csn(at time.Time, seq int64) string {
	return fmt.Sprintf("%s#%06x#000#000000", at.UTC().Format("20060102150405.000000Z"), seq)
}
