package ldap

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// picturePage is how many people come at once where their pictures come with them: a
// page is in memory as a whole.
const picturePage = 50

// Picture reads one person's picture as the directory has it now, with its digest.
func (s *Source) Picture(ctx context.Context, anchor string) ([]byte, string, error) {
	name, guid, ok := s.o.Mapper.AnchorAttribute()
	if !ok {
		return nil, "", errors.New("the anchor is computed, so that nobody can be searched for by it; set id_attribute to one attribute, or to its guid()")
	}
	sess, err := s.connect(ctx)
	if err != nil {
		return nil, "", err
	}
	defer sess.close()
	c := confirmer{Source: s, sess: sess, name: name, guid: guid}
	one, ok := c.equals(anchor)
	if !ok {
		return nil, "", fmt.Errorf("%s cannot be searched for", sources.Printable(anchor))
	}
	q := query{base: s.o.BaseDN, filter: "(&" + s.o.UserFilter + one + ")", attributes: s.wanted(sess)}
	res, err := sess.conn.Search(q.request(ldap.ScopeWholeSubtree, sess.scope()...))
	if err != nil {
		return nil, "", s.failed("read a picture", sess.cause(err))
	}
	if len(res.Entries) != 1 {
		return nil, "", fmt.Errorf("%d entries have this anchor", len(res.Entries))
	}
	rec, err := sess.record(res.Entries[0])
	if err != nil {
		return nil, "", s.failed("read a picture", err)
	}
	return s.o.Mapper.Picture(ctx, rec)
}
