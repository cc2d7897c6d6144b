package ldap

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/sources"
)

// The values of Options.Delta: how a source is asked for what changed.
const (
	DeltaAuto      = "auto" // what the kind of server is best at; the same as ""
	DeltaOff       = "off"
	DeltaUSN       = "usn"       // Active Directory's uSNChanged
	DeltaDirSync   = "dirsync"   // Active Directory's DirSync control (MS-ADTS 3.1.1.3.4.1.3)
	DeltaTimestamp = "timestamp" // modifyTimestamp (RFC 4512 3.4)
	DeltaSyncrepl  = "syncrepl"  // refreshOnly (RFC 4533)
)

// kind is what a server says it is.
type kind string

const (
	kindUnknown  kind = ""
	kindAD       kind = "Active Directory"
	kindOpenLDAP kind = "OpenLDAP"
	kind389      kind = "389 Directory Server" // FreeIPA too
)

// The object identifiers a server is known by.
const (
	oidDirSync     = "1.2.840.113556.1.4.841" // supportedControl, as those below
	oidShowDeleted = "1.2.840.113556.1.4.417"
	oidSyncRequest = "1.3.6.1.4.1.4203.1.9.1.1"
)

// kindOf tells servers apart by their root entry.
func kindOf(rec sources.Record) kind {
	if slices.Contains(rec.Values("supportedCapabilities"), capabilityAD) {
		return kindAD
	}
	for _, class := range rec.Values("objectClass") {
		if strings.EqualFold(class, "OpenLDAProotDSE") {
			return kindOpenLDAP
		}
	}
	if strings.HasPrefix(rec.Value("vendorVersion"), "389-Directory") || strings.HasPrefix(rec.Value("vendorName"), "389") {
		return kind389
	}
	return kindUnknown
}

// way chooses how changes are asked for; why says in a sentence why they cannot be.
func (s *Source) way(root rootInfo) (way, why string) {
	if _, _, ok := s.o.Mapper.AnchorAttribute(); !ok {
		return "", "the anchor is computed, so that nobody can be searched for by it"
	}
	want := s.o.Delta
	if want == DeltaAuto || want == "" {
		switch root.kind {
		case kindAD:
			want = DeltaUSN
		case kindOpenLDAP, kind389:
			want = DeltaTimestamp
		case kindUnknown:
			return "", "the server does not say what it is; name a way of asking for changes that it knows with delta"
		}
	}
	ad := root.kind == kindAD
	switch {
	case want == DeltaOff:
		return "", "delta is off"
	case root.catalog: // it shows the numbers of its domain controller, and a part of what they count
		return "", "the port is that of the global catalog, which cannot be asked for changes; use port 636 of a domain controller (389 with starttls)"
	case (want == DeltaUSN || want == DeltaDirSync) && !ad:
		return "", "delta: " + want + " is of Active Directory, which this server is not"
	case want == DeltaUSN && (root.usn == 0 || root.service == ""):
		return "", "the server does not show highestCommittedUSN and dsServiceName"
	case want == DeltaDirSync && !root.controls[oidDirSync]:
		return "", "the server does not announce the DirSync control"
	case want == DeltaTimestamp && ad:
		return "", "delta: timestamp is not for Active Directory, which cannot search by modifyTimestamp; use usn"
	case want == DeltaSyncrepl && !root.controls[oidSyncRequest]:
		return "", "the server does not announce content synchronisation (RFC 4533); OpenLDAP needs the overlay syncprov, 389 Directory Server the Content Synchronization plug-in"
	}
	return want, ""
}
