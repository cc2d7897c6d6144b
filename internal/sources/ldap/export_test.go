package ldap

import (
	"net"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// DialLean opens a connection whose entries are decoded as a session's are.
func DialLean(url string) (*ldap.Conn, func(*ldap.SearchRequest) (*ldap.SearchResult, error), error) {
	raw, err := net.Dial("tcp", strings.TrimPrefix(url, "ldap://"))
	if err != nil {
		return nil, nil, err
	}
	s := &session{entries: newCatcher(raw)}
	s.conn = ldap.NewConn(s.entries, false)
	s.conn.Start()
	return s.conn, s.search, nil
}
