package ldaptest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// rootEntry is what the server tells of itself (RFC 4512 5.1, MS-ADTS 3.1.1.3.2).
func (s *Server) rootEntry(self *replica) map[string][]string {
	root := map[string][]string{
		"objectClass": {"top"}, "supportedLDAPVersion": {"3"}, "namingContexts": {s.d.base}, "subschemaSubentry": {s.subschema()},
		"supportedExtension": {oidWhoAmI},
	}
	if !s.o.NoControls {
		root["supportedControl"] = s.Kind.controls()
	}
	if s.tls != nil {
		root["supportedExtension"] = []string{oidStartTLS, oidWhoAmI}
	}
	maps.Copy(root, s.Kind.vendor())
	switch s.Kind {
	case OpenLDAP:
		root["objectClass"] = []string{"top", "OpenLDAProotDSE"}
	case ActiveDirectory:
		settings := settingsDN(self.index)
		_, server := splitDN(settings)
		maps.Copy(root, map[string][]string{
			"namingContexts": {s.d.base, configDN, schemaDN}, "defaultNamingContext": {s.d.base}, "rootDomainNamingContext": {s.d.base},
			"configurationNamingContext": {configDN}, "schemaNamingContext": {schemaDN},
			"dnsHostName": {dnsName(self.index)}, "dsServiceName": {settings}, "serverName": {server},
			"highestCommittedUSN": {self.usn(s.d.seq)}, "currentTime": {s.d.now().UTC().Format("20060102150405.0Z")},
			"supportedCapabilities": {"1.2.840.113556.1.4.800", "1.2.840.113556.1.4.1670", "1.2.840.113556.1.4.1791", "1.2.840.113556.1.4.1935", "1.2.840.113556.1.4.2080"},
			"supportedLDAPPolicies": {"MaxPageSize", "MaxValRange", "MaxQueryDuration", "MaxResultSetSize"},
			"ldapServiceName":       {fmt.Sprintf("ad.test:dc%d$@AD.TEST", self.index+1)},
			"isGlobalCatalogReady":  {"TRUE"}, "isSynchronized": {"TRUE"}, "domainFunctionality": {"7"}, "forestFunctionality": {"7"},
		})
		delete(root, "objectClass")
	case Plain, DS389:
	}
	return root
}

func (s *Server) subschema() string {
	switch s.Kind {
	case ActiveDirectory:
		return "CN=Aggregate," + schemaDN
	case DS389:
		return "cn=schema"
	case Plain, OpenLDAP:
	}
	return "cn=Subschema"
}

// special answers a base search of the root entry or the schema, which are no
// entries of the tree.
func (s *Server) special(q request, self *replica) (dn string, attributes []values, ok bool) {
	var all map[string][]string
	switch {
	case q.scope == scopeBase && q.base == "":
		all = s.rootEntry(self)
	case q.scope == scopeBase && dnKey(q.base) == dnKey(s.subschema()) && !s.o.NoSchema:
		dn = s.subschema()
		all = map[string][]string{"objectClass": {"top", "subschema"}, "attributeTypes": s.d.attributeTypes()}
	default:
		return "", nil, false
	}
	w := wishesOf(s.Kind, q.attributes)
	for _, name := range slices.SortedFunc(maps.Keys(all), func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
		if _, named := w.named[strings.ToLower(name)]; named || w.plus || w.star && (s.Kind == ActiveDirectory || name == "objectClass") {
			attributes = append(attributes, values{name, all[name]})
		}
	}
	return dn, attributes, true
}
