package scim

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// sealed is what a cursor of RFC 9865 holds: where a page ended, and of which
// question. The server keeps nothing of it. It is encrypted, for it has values of
// attributes, and nobody else's can be made.
type sealed struct {
	Session string   `json:"s"`
	Route   string   `json:"r"`
	Asked   []byte   `json:"q"` // a digest of filter and order
	Count   int      `json:"n"`
	Issued  int64    `json:"i"`
	Last    position `json:"l"`
}

// position is a row without what is not needed to find its place again.
type position struct {
	Type       string    `json:"t"`
	ID         string    `json:"id"`
	Version    string    `json:"v,omitempty"`
	Created    time.Time `json:"c"`
	Modified   time.Time `json:"m"`
	Attributes string    `json:"a,omitempty"` // as JSON: those that are sorted by
	// Long tells that they are too long to be part of an address: then the row is found
	// by its id, for as long as it is there.
	Long bool `json:"o,omitempty"`
}

const maxKey = 2048 // bytes of Attributes

const cursorVersion = "mmsync scim cursor 1"

func newSealer(key [32]byte) (cipher.AEAD, error) {
	if key == ([32]byte{}) {
		_, _ = rand.Read(key[:]) // never fails
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// cursorPage gives the page that follows a cursor, RFC 9865; an empty one begins.
func (h *Handler) cursorPage(ctx context.Context, c *call, q query, l *lister) (answer, error) {
	var last *position
	if q.cursor != "" {
		s, err := h.unseal(c, q)
		if err != nil {
			return answer{}, err
		}
		q.count = s.Count
		last = &s.Last
	}
	next := l.afterUnsorted
	if q.sortBy != "" {
		next = l.afterSorted
	}
	rows, total, more, err := next(ctx, q, last)
	if err != nil {
		return answer{}, err
	}
	body := h.listed(rows, total, q.projection)
	if more {
		if body["nextCursor"], err = h.seal(c, q, rows[len(rows)-1]); err != nil {
			return answer{}, err
		}
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (l *lister) afterUnsorted(ctx context.Context, q query, last *position) ([]row, int, bool, error) {
	var rows []row
	total := 0
	begun := last == nil
	for _, p := range l.parts {
		ask := Query{Limit: q.count + 1 - len(rows)}
		if !begun {
			if begun = p.t.Name == last.Type; begun {
				ask.After = Position{Created: last.Created, ID: last.ID}
			} else {
				ask.Limit = 0
			}
		}
		page, err := l.ask(ctx, p, ask)
		if err != nil {
			return nil, 0, false, err
		}
		for _, r := range page.Resources {
			rows = append(rows, row{p.t, r})
		}
		total += page.Total
	}
	n := min(q.count, len(rows))
	return rows[:n], total, n < len(rows), nil
}

func (l *lister) afterSorted(ctx context.Context, q query, last *position) ([]row, int, bool, error) {
	all, compare, err := l.sorted(ctx, q)
	if err != nil {
		return nil, 0, false, err
	}
	rows := all
	if last != nil {
		if rows, err = l.following(rows, last, compare); err != nil {
			return nil, 0, false, err
		}
	}
	n := min(q.count, len(rows))
	return rows[:n], len(all), n < len(rows), nil
}

// following gives the rows after a position.
func (l *lister) following(rows []row, last *position, compare func(a, b row) int) ([]row, error) {
	if last.Long {
		i := slices.IndexFunc(rows, func(w row) bool { return w.r.ID == last.ID && w.t.Name == last.Type })
		if i < 0 {
			return nil, invalid(ExpiredCursor, "the resource that the page ended with is gone: begin anew")
		}
		return rows[i+1:], nil
	}
	at, err := l.row(last)
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearchFunc(rows, at, compare)
	if found {
		i++
	}
	return rows[i:], nil
}

// row is the row that a position was made of, as far as order goes.
func (l *lister) row(p *position) (row, error) {
	w := row{r: Resource{ID: p.ID, Version: p.Version, Created: p.Created, Modified: p.Modified, Attributes: Object{}}}
	for _, t := range l.h.o.Types {
		if t.Name == p.Type {
			w.t = t
		}
	}
	if p.Attributes != "" {
		v, fault := parseJSON([]byte(p.Attributes), l.h.limits.Depth)
		o, ok := v.(Object)
		if fault != nil || !ok {
			return row{}, badCursor()
		}
		w.r.Attributes = o
	}
	return w, nil
}

func badCursor() error {
	return invalid(InvalidCursor, "no such cursor: it has to be empty, or the nextCursor of the same question")
}

// seal gives the cursor that follows a row.
func (h *Handler) seal(c *call, q query, last row) (string, error) {
	s := sealed{
		Session: c.session.Name, Route: c.cursorRoute(), Asked: q.digest(), Count: q.count, Issued: time.Now().Unix(),
		Last: position{
			Type: last.t.Name, ID: last.r.ID, Version: last.r.Version, Created: last.r.Created, Modified: last.r.Modified,
		},
	}
	if q.sortBy != "" {
		text, err := json.Marshal(pick(last.r.Attributes, q.sortBy))
		if err != nil {
			return "", fmt.Errorf("cursor: %w", err)
		}
		if s.Last.Long = len(text) > maxKey; !s.Last.Long {
			s.Last.Attributes = string(text)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(h.sealer.Seal(nil, nil, text, []byte(cursorVersion))), nil
}

// unseal reads a cursor and judges whether it belongs to the question.
func (h *Handler) unseal(c *call, q query) (sealed, error) {
	box, err := base64.RawURLEncoding.DecodeString(q.cursor)
	if err != nil {
		return sealed{}, badCursor()
	}
	text, err := h.sealer.Open(nil, nil, box, []byte(cursorVersion))
	if err != nil {
		return sealed{}, badCursor()
	}
	var s sealed
	if err := json.Unmarshal(text, &s); err != nil {
		return sealed{}, badCursor()
	}
	switch {
	case s.Session != c.session.Name, s.Route != c.cursorRoute(), string(s.Asked) != string(q.digest()):
		return sealed{}, badCursor()
	case time.Since(time.Unix(s.Issued, 0)) > h.limits.Cursor:
		return sealed{}, invalid(ExpiredCursor, "the cursor is too old: begin anew")
	case q.counted && q.count != s.Count:
		return sealed{}, invalid(InvalidCount, "count has to stay as it was: "+strconv.Itoa(s.Count))
	}
	return s, nil
}

// cursorRoute is what a cursor is good for: a type or all of them, by GET as by
// POST.
func (c *call) cursorRoute() string {
	if c.route.t != nil {
		return c.route.t.Name
	}
	return "/"
}

func (q query) digest() []byte {
	text, _ := json.Marshal([]any{q.filter, strings.ToLower(q.sortBy), q.descending}) // cannot fail
	d := sha256.Sum256(text)
	return d[:16]
}

// pick gives the attributes that may be meant by sortBy. Of several values those
// that a resource can be sorted by are kept: the first and the primary one.
func pick(attributes Object, sortBy string) Object {
	a, err := filter.ParseAttr(sortBy)
	if err != nil {
		return Object{}
	}
	picked := Object{}
	for key, v := range attributes {
		if strings.EqualFold(key, a.Name) {
			picked[key] = shorten(v)
		}
		inner, ok := v.(Object)
		if !ok || !strings.Contains(key, ":") {
			continue
		}
		for name, v := range inner {
			if strings.EqualFold(name, a.Name) {
				picked[key] = Object{name: shorten(v)}
			}
		}
	}
	return picked
}

func shorten(v any) any {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return v
	}
	short := list[:1:1]
	for _, e := range list[1:] {
		if o, ok := e.(Object); ok && o["primary"] == true {
			short = append(short, e)
		}
	}
	return short
}
