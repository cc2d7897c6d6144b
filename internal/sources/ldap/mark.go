package ldap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/sources"
)

// mark is where a later read goes on. It is good for one way of asking, one scope
// and, but for DirSync, one server. It holds no secret and no attribute of anybody but
// the anchors, DNs or uids of members of groups that the configuration names.
type mark struct {
	Version int    `json:"v"`
	Way     string `json:"way"`
	// Scope digests everything that decides whom a read finds and what it shows.
	Scope string `json:"scope"`
	// Server is the address that gave the mark, as configured.
	Server string `json:"server"`
	// At is when the read began, by this machine's clock.
	At time.Time `json:"at"`

	// Host, Invocation and USN are of DeltaUSN: the domain controller's name, the
	// invocationId of its database, and its highestCommittedUSN before the read.
	Host       string `json:"host,omitempty"`
	Invocation string `json:"invocation,omitempty"`
	USN        uint64 `json:"usn,omitempty"`
	// Offset is of DeltaTimestamp: the server's clock shows at least this machine's
	// clock plus Offset. It is never above zero.
	Offset time.Duration `json:"offset,omitempty"`
	// Cookie is of DeltaDirSync and DeltaSyncrepl.
	Cookie []byte `json:"cookie,omitempty"`

	Groups []watched `json:"groups,omitempty"`
}

const markVersion = 1

func (m mark) String() string {
	data, err := json.Marshal(m)
	if err != nil {
		return "" // no field can fail; without a mark the next read is a full one
	}
	return string(data)
}

func parseMark(text string) (mark, error) {
	var m mark
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return m, err
	}
	if m.Version != markVersion || m.Way == "" || m.At.IsZero() {
		return m, errors.New("it is of another version")
	}
	return m, nil
}

// scope digests what a mark is bound to besides the server. The mapping itself is not
// part of it: whoever changes that runs over everybody anyhow.
func (s *Source) scope(way string) string {
	parts := []string{
		way, s.o.BaseDN, s.o.UserFilter, s.o.BindDN, s.o.Groups.Mode, s.o.Groups.BaseDN, s.o.Groups.Filter, s.o.Groups.MembershipAttribute, s.o.Groups.Nested,
		strings.Join(s.attributes, ","), strings.Join(s.groupNames, "\n"),
	}
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// stale says why the mark is of no use at a server, "" if it is good.
func (m mark) stale(s *Source, root rootInfo, way, url string) string {
	switch {
	case m.Way != way:
		return "the mark was made by another way of asking for changes (" + sources.Printable(m.Way) + ", now " + way + ")"
	case m.Scope != s.scope(way):
		return "base, filter, attributes, groups or bind account are other ones than when the mark was made"
	case way == DeltaDirSync:
		return "" // its cookie says itself which servers it is good for
	case way == DeltaUSN && (m.Host != root.host || m.Invocation != root.invocation):
		return "the mark is of " + sources.Printable(m.Host) + ", and " + sources.Printable(root.host) + " answers, or its database is another one"
	case way == DeltaUSN && root.usn < m.USN:
		return sources.Printable(root.host) + " counts its changes from before the mark: it was set back"
	case way != DeltaUSN && m.Server != url:
		return "the mark is of " + m.Server + ", and " + url + " answers, which may not have all that is in the mark"
	}
	return ""
}
