package scim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// bulkOp is one operation of a bulk request, RFC 7644 section 3.7.
type bulkOp struct {
	method, path, bulkID, version string
	data                          Object
	needs                         []string // bulkIds that it names
	fault                         error    // known before it is tried
	open                          []string // bulkIds left out for now, for they need this one

	done    bool
	settled bool // what was open has been written, or taken back
	took    time.Duration
	call    *call
	id      string // of the resource that it made
	t       *ResourceType
	result  answer
}

// bulkRun is a bulk request while it is served.
type bulkRun struct {
	h      *Handler
	c      *call
	ops    []*bulkOp
	makers map[string]*bulkOp // by bulkId
	errors int
	limit  int // of errors; 0: none
}

// bulk serves POST to /Bulk. Each operation goes the way that it would go as a
// request of its own. They are done in the order given, but one that names another's
// bulkId waits for it; where they wait for each other in a circle, one is written
// without the reference and completed at the end, section 3.7.1.
func (h *Handler) bulk(ctx context.Context, c *call, body Object) (answer, error) {
	b, err := h.readBulk(c, body)
	if err != nil {
		return answer{}, err
	}
	h.buckets.charge(c.session.Name, max(0, len(b.ops)-1))
	b.run(ctx)
	b.complete(ctx, true)
	results := []any{}
	for _, op := range b.ops {
		if op.done {
			results = append(results, op.shown(h))
			b.tell(ctx, op)
		}
	}
	return answer{status: http.StatusOK, body: Object{"schemas": []any{messageBulked}, "Operations": results}}, nil
}

// tell passes on what became of an operation.
func (b *bulkRun) tell(ctx context.Context, op *bulkOp) {
	for _, q := range op.call.quirks {
		b.c.noted(q)
	}
	if b.h.o.Done != nil {
		o := op.call.outcome(op.result, op.took)
		o.Bulk = true
		b.h.o.Done(ctx, o)
	}
}

// run does what can be done, and what needs it after that.
func (b *bulkRun) run(ctx context.Context) {
	for {
		progress := false
		var waiting *bulkOp // one that others may wait for
		for _, op := range b.ops {
			switch {
			case op.done:
			case b.ready(op):
				b.try(ctx, op)
				b.complete(ctx, false)
				progress = true
			case waiting == nil && op.method == http.MethodPost:
				waiting = op
			}
			if b.limit > 0 && b.errors >= b.limit {
				return
			}
		}
		if progress {
			continue
		}
		if waiting == nil {
			return
		}
		b.cut(waiting)
	}
}

// ready tells whether all that an operation needs has been tried. What changes a
// resource that another operation makes waits until that one is complete.
func (b *bulkRun) ready(op *bulkOp) bool {
	for _, id := range op.needs {
		m := b.makers[id]
		if !m.done && !slices.Contains(op.open, id) || m.incomplete() && op.method != http.MethodPost {
			return false
		}
	}
	return true
}

// incomplete tells that references are left out for now.
func (op *bulkOp) incomplete() bool { return op.done && len(op.open) > 0 && !op.settled }

// cut finds a circle that an operation waits for, and lets one in it go without.
func (b *bulkRun) cut(op *bulkOp) {
	next := func(op *bulkOp) *bulkOp {
		for _, id := range op.needs {
			if m := b.makers[id]; !m.done && !slices.Contains(op.open, id) {
				return m
			}
		}
		return op
	}
	for range b.ops {
		op = next(op)
	}
	op.open = append(op.open, next(op).bulkID)
}

// try does one operation.
func (b *bulkRun) try(ctx context.Context, op *bulkOp) {
	began := time.Now()
	defer func() { op.took = time.Since(began) }()
	op.done = true
	op.call = &call{h: b.h, session: b.c.session, method: op.method, header: http.Header{}, params: params{}, lenient: b.c.lenient}
	if op.version != "" && op.method != http.MethodPost {
		op.call.header.Set("If-Match", op.version)
	}
	op.result = b.h.answer(ctx, op.call, func() (answer, error) { return b.do(ctx, op) })
	if op.result.status >= http.StatusBadRequest {
		b.errors++
	}
}

func (b *bulkRun) do(ctx context.Context, op *bulkOp) (answer, error) {
	if op.fault != nil {
		return answer{}, op.fault
	}
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	path, err := b.resolvePath(op.path)
	if err != nil {
		return answer{}, err
	}
	op.call.route = b.h.findBelow(path)
	r := op.call.route
	if r.kind != kindType && r.kind != kindResource {
		return answer{}, &Error{Status: http.StatusNotFound, Detail: "there is no resource or resource type at this path"}
	}
	if err := op.call.allowed(); err != nil {
		return answer{}, err
	}
	op.t = r.t
	data, err := b.resolve(op, op.open)
	if err != nil {
		return answer{}, err
	}
	if r.kind == kindResource {
		op.id = r.id
		return b.h.resource(ctx, op.call, r.t, r.id, data)
	}
	a, err := b.h.create(ctx, op.call, r.t, data)
	op.id = op.call.touched
	return a, err
}

// complete writes the references that were left out, of those operations whose
// references have been tried, or of all. What cannot be completed is taken back: half
// of it was not asked for.
func (b *bulkRun) complete(ctx context.Context, all bool) {
	for _, op := range b.ops {
		open := func(id string) bool { return !b.makers[id].done }
		if !op.incomplete() || !all && slices.ContainsFunc(op.open, open) {
			continue
		}
		op.settled = true
		if op.result.status == http.StatusCreated {
			b.completeOne(ctx, op)
		}
	}
}

func (b *bulkRun) completeOne(ctx context.Context, op *bulkOp) {
	var r Resource
	data, err := b.resolve(op, nil)
	if err == nil {
		r, err = b.h.change(ctx, op.call, op.t, op.id, departure{}, func(before Resource) (Object, error) {
			return op.t.Accept(data, &before, op.call.lenient, op.call.noted)
		})
	}
	if err == nil {
		op.result.etag = entityTag(r.Version)
		return
	}
	op.result = b.h.refuse(ctx, op.call, err)
	b.errors++
	if err := b.undo(ctx, op); err != nil {
		b.h.log.ErrorContext(ctx, "half a resource of a bulk request stays", "id", op.id, "error", err)
	}
}

// undo takes back what an operation made, even if time is up.
func (b *bulkRun) undo(ctx context.Context, op *bulkOp) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.h.limits.Request)
	defer cancel()
	_, err := b.h.remove(ctx, op.call, op.t, op.id)
	return err
}

// shown is the result of an operation, RFC 7644 section 3.7.
func (op *bulkOp) shown(h *Handler) Object {
	o := Object{"method": op.method, "status": fmt.Sprint(op.result.status)}
	if op.bulkID != "" {
		o["bulkId"] = op.bulkID
	}
	if op.result.etag != "" && op.result.status < 300 {
		o["version"] = op.result.etag
	}
	switch {
	case op.result.location != "":
		o["location"] = op.result.location
	case op.t != nil && op.id != "" && op.method != http.MethodPost:
		o["location"] = op.t.Meta(Resource{ID: op.id}, h.base)["location"]
	}
	if op.result.status >= 400 {
		o["response"] = op.result.body
	}
	return o
}

// readBulk reads a BulkRequest.
func (h *Handler) readBulk(c *call, body Object) (*bulkRun, error) {
	b := &bulkRun{h: h, c: c, makers: map[string]*bulkOp{}}
	v, _, err := field(body, "Operations")
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid(InvalidSyntax, "Operations has to be a list")
	}
	if len(list) > h.limits.BulkOps {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("a bulk may have %d operations", h.limits.BulkOps)}
	}
	if v, ok, err := field(body, "failOnErrors"); err != nil {
		return nil, err
	} else if ok && v != nil {
		n, isNumber := v.(json.Number)
		if b.limit, err = number(n.String()); !isNumber || err != nil || b.limit < 1 {
			return nil, invalid(InvalidValue, "failOnErrors has to be a whole number of 1 or more")
		}
	}
	for _, v := range list {
		op, err := readBulkOp(v)
		if err != nil {
			return nil, err
		}
		if op.bulkID != "" && op.method == http.MethodPost {
			if b.makers[op.bulkID] != nil {
				return nil, invalid(InvalidValue, "a bulkId is given twice")
			}
			b.makers[op.bulkID] = op
		}
		b.ops = append(b.ops, op)
	}
	for _, op := range b.ops {
		op.needs = b.references(op)
	}
	return b, nil
}

func readBulkOp(v any) (*bulkOp, error) {
	o, ok := v.(Object)
	if !ok {
		return nil, invalid(InvalidSyntax, "an operation has to be an object")
	}
	op := &bulkOp{}
	for name, to := range map[string]*string{"method": &op.method, "path": &op.path, "bulkId": &op.bulkID, "version": &op.version} {
		v, ok, err := field(o, name)
		if err != nil {
			return nil, err
		}
		if !ok || v == nil {
			continue
		}
		if *to, ok = v.(string); !ok {
			return nil, invalid(InvalidSyntax, name+" of an operation has to be a string")
		}
	}
	v, _, err := field(o, "data")
	if err != nil {
		return nil, err
	}
	op.data, ok = v.(Object)
	op.method = strings.ToUpper(op.method)
	switch op.method {
	case http.MethodPost:
		if op.bulkID == "" {
			op.fault = invalid(InvalidSyntax, "a POST needs a bulkId")
		}
	case http.MethodPut, http.MethodPatch:
	case http.MethodDelete:
		return op, nil
	default:
		return nil, invalid(InvalidSyntax, "method of an operation has to be POST, PUT, PATCH or DELETE")
	}
	if !ok && op.fault == nil {
		op.fault = invalid(InvalidSyntax, op.method+" needs data that is an object")
	}
	return op, nil
}
