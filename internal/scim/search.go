package scim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// query is what is asked of a list, RFC 7644 section 3.4.2.
type query struct {
	filter, sortBy string
	descending     bool
	start, count   int
	counted        bool // a count was asked for
	byCursor       bool // RFC 9865
	cursor         string
	projection     Projection
}

// part is what is asked of the resources of one type.
type part struct {
	t    *ResourceType
	keep func(Resource) bool // nil: all
}

// row is a resource in a list that may be of several types.
type row struct {
	t *ResourceType
	r Resource
}

// list serves GET of a type, or of all.
func (h *Handler) list(ctx context.Context, c *call, types []*ResourceType) (answer, error) {
	return h.listing(ctx, c, types)
}

// search serves POST to /.search, RFC 7644 section 3.4.3.
func (h *Handler) search(ctx context.Context, c *call, types []*ResourceType, body Object) (answer, error) {
	p, err := searchParams(body)
	if err != nil {
		return answer{}, err
	}
	c.params = p
	return h.listing(ctx, c, types)
}

func (h *Handler) listing(ctx context.Context, c *call, types []*ResourceType) (answer, error) {
	types, err := c.mayList(types)
	if err != nil {
		return answer{}, err
	}
	q, err := h.query(c)
	if err != nil {
		return answer{}, err
	}
	where, parts, err := h.where(c, types, q.filter)
	if err != nil {
		return answer{}, err
	}
	if where != nil && len(filter.Equalities(where)) == 0 || q.sortBy != "" {
		limited, cancel := context.WithTimeoutCause(ctx, h.limits.Scan, errScan)
		defer cancel()
		ctx = limited
	}
	a, err := h.page(ctx, c, q, where, parts)
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), errScan) {
		return answer{}, invalid(TooMany, errScan.Error())
	}
	return a, err
}

// page gives one page of a list.
func (h *Handler) page(ctx context.Context, c *call, q query, where filter.Expr, parts []part) (answer, error) {
	l := &lister{h: h, c: c, where: where, parts: parts}
	if q.byCursor {
		return h.cursorPage(ctx, c, q, l)
	}
	rows, total, err := l.byIndex(ctx, q)
	if err != nil {
		return answer{}, err
	}
	body := h.listed(rows, total, q.projection)
	body["startIndex"] = q.start
	return answer{status: http.StatusOK, body: body}, nil
}

// listed is a ListResponse, RFC 7644 section 3.4.2.
func (h *Handler) listed(rows []row, total int, p Projection) Object {
	shown := make([]any, len(rows))
	for i, w := range rows {
		shown[i] = w.t.Show(w.r, h.base, p)
	}
	return listResponse(shown, total)
}

func listResponse(resources []any, total int) Object {
	return Object{
		"schemas": []any{messageList}, "totalResults": total, "itemsPerPage": len(resources), "Resources": resources,
	}
}

// mayList gives the types that may be read; one alone that may not is refused.
func (c *call) mayList(types []*ResourceType) ([]*ResourceType, error) {
	var may []*ResourceType
	for _, t := range types {
		if c.mayRead(t) {
			may = append(may, t)
		}
	}
	if len(may) == 0 {
		return nil, c.readable(types[0])
	}
	return may, nil
}

var errScan = errors.New("the filter or the order takes too long: ask for less, by userName, externalId or id")

// query reads the parameters.
func (h *Handler) query(c *call) (query, error) {
	p := c.params
	q := query{start: 1, count: h.limits.Page, filter: p["filter"], sortBy: p["sortBy"], cursor: p["cursor"]}
	_, q.byCursor = p["cursor"]
	_, asked := p["filter"]
	if asked && strings.TrimSpace(q.filter) == "" {
		return query{}, invalid(InvalidFilter, "the filter is empty")
	}
	var err error
	switch order := strings.ToLower(p["sortOrder"]); order {
	case "", "ascending":
	case "descending":
		q.descending = true
	default:
		return query{}, invalid(InvalidValue, "sortOrder has to be ascending or descending")
	}
	if text, ok := p["startIndex"]; ok {
		if q.byCursor {
			return query{}, invalid(InvalidValue, "startIndex and cursor exclude each other")
		}
		if q.start, err = number(text); err != nil {
			return query{}, invalid(InvalidValue, "startIndex has to be a whole number")
		}
		q.start = max(q.start, 1)
	}
	if err := h.count(&q, p); err != nil {
		return query{}, err
	}
	q.projection, err = c.projection()
	return q, err
}

// count reads how many are asked for. Too many are clamped, RFC 7644 section
// 3.4.2.4; with a cursor there has to be at least one, RFC 9865 section 2.1.
func (h *Handler) count(q *query, p params) error {
	text, ok := p["count"]
	if !ok {
		return nil
	}
	fault := InvalidValue
	if q.byCursor {
		fault = InvalidCount
	}
	n, err := number(text)
	if err != nil || q.byCursor && n < 1 {
		return invalid(fault, "count has to be a whole number, with a cursor of 1 or more")
	}
	q.count = min(max(n, 0), h.limits.PageMax)
	q.counted = true
	return nil
}

// number reads a whole number; one out of bounds is as good as the bound.
func number(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if errors.Is(err, strconv.ErrRange) {
		return int(n), nil
	}
	return int(n), err
}

// searchParams reads a SearchRequest as the parameters of a query.
func searchParams(body Object) (params, error) {
	p := params{}
	for _, name := range []string{"filter", "sortBy", "sortOrder", "startIndex", "count", "cursor", "attributes", "excludedAttributes"} {
		v, ok, err := field(body, name)
		if err != nil {
			return nil, err
		}
		if !ok || v == nil {
			continue
		}
		text, ok := searchParam(name, v)
		if !ok {
			return nil, invalid(InvalidValue, name+" has another type")
		}
		if p[name] = text; text == "" && strings.HasSuffix(strings.ToLower(name), "attributes") {
			delete(p, name)
		}
	}
	return p, nil
}

func searchParam(name string, v any) (string, bool) {
	numeric := name == "startIndex" || name == "count"
	switch v := v.(type) {
	case string:
		return v, !numeric
	case json.Number:
		return v.String(), numeric
	case []any:
		var names []string
		for _, e := range v {
			text, ok := e.(string)
			if !ok {
				return "", false
			}
			names = append(names, text)
		}
		return strings.Join(names, ","), strings.HasSuffix(strings.ToLower(name), "attributes")
	}
	return "", false
}

// where compiles a filter for each type. Where all types are asked, an attribute that
// one does not have is as if it had no value there, RFC 7644 section 3.4.2.1.
func (h *Handler) where(c *call, types []*ResourceType, text string) (filter.Expr, []part, error) {
	parts := make([]part, len(types))
	for i, t := range types {
		parts[i].t = t
	}
	if text == "" {
		return nil, parts, nil
	}
	e, err := filter.Parse(text, filter.Options{
		Bytes: h.limits.FilterBytes, Depth: h.limits.FilterDepth, Terms: h.limits.FilterTerms,
		Lenient: func(quirk string) bool { return c.lets(Quirk(quirk)) },
	})
	if err != nil {
		return nil, nil, err
	}
	lenient, noted := c.lenient, Noted(c.noted)
	if c.route.t == nil {
		lenient = maps.Clone(lenient)
		if lenient == nil {
			lenient = Lenient{}
		}
		lenient[QuirkUnknownInFilter] = true
		noted = func(q Quirk) {
			if q != QuirkUnknownInFilter {
				c.noted(q)
			}
		}
	}
	for i, t := range types {
		if parts[i].keep, err = t.Compile(e, lenient, noted); err != nil {
			return nil, nil, err
		}
	}
	return e, parts, nil
}

// lister gives rows of several types as if they were one list: type after type, or
// in the order of an attribute.
type lister struct {
	h     *Handler
	c     *call
	where filter.Expr
	parts []part
}

// ask asks the Backend for resources of a part.
func (l *lister) ask(ctx context.Context, p part, q Query) (Page, error) {
	q.Where, q.Keep = l.where, p.keep
	page, err := l.c.session.Backend.List(ctx, p.t, q)
	if err == nil {
		// A store that only looks at its memory never asks whether time is up.
		err = ctx.Err()
	}
	return page, err
}

func (l *lister) byIndex(ctx context.Context, q query) ([]row, int, error) {
	if q.sortBy != "" && q.count > 0 {
		all, _, err := l.sorted(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		from := min(q.start-1, len(all))
		return all[from:min(from+q.count, len(all))], len(all), nil
	}
	var rows []row
	total, skip := 0, q.start-1
	for _, p := range l.parts {
		page, err := l.ask(ctx, p, Query{Skip: skip, Limit: q.count - len(rows)})
		if err != nil {
			return nil, 0, err
		}
		for _, r := range page.Resources {
			rows = append(rows, row{p.t, r})
		}
		total += page.Total
		skip = max(0, skip-page.Total)
	}
	return rows, total, nil
}

// sorted gives all rows in the order that is asked for, and the order.
func (l *lister) sorted(ctx context.Context, q query) ([]row, func(a, b row) int, error) {
	compare, err := l.order(q)
	if err != nil {
		return nil, nil, err
	}
	var rows []row
	for _, p := range l.parts {
		page, err := l.ask(ctx, p, Query{Limit: l.h.limits.Sort + 1})
		if err != nil {
			return nil, nil, err
		}
		for _, r := range page.Resources {
			rows = append(rows, row{p.t, r})
		}
		if page.Total > len(page.Resources) || len(rows) > l.h.limits.Sort {
			return nil, nil, invalid(TooMany, "too many resources to sort: use a filter")
		}
	}
	slices.SortStableFunc(rows, compare)
	return rows, compare, ctx.Err()
}

// order is that of sortBy, RFC 7644 section 3.4.2.3, and of type, creation and id
// where it tells no difference. Of several types the first that knows the attribute
// says how its values compare.
func (l *lister) order(q query) (func(a, b row) int, error) {
	var first error
	for _, p := range l.parts {
		by, err := p.t.SortKey(q.sortBy, q.descending)
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		return func(a, b row) int {
			return cmp.Or(by(a.r, b.r), cmp.Compare(l.rank(a.t), l.rank(b.t)), a.r.Created.Compare(b.r.Created), cmp.Compare(a.r.ID, b.r.ID))
		}, nil
	}
	return nil, first
}

// rank is where a type stands among those of the Handler.
func (l *lister) rank(t *ResourceType) int {
	if i := slices.Index(l.h.o.Types, t); i >= 0 {
		return i
	}
	return math.MaxInt
}
