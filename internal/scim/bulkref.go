package scim

import (
	"net/http"
	"slices"
	"strings"
)

// bulkPrefix marks a reference to what another operation makes, RFC 7644 section
// 3.7.2.
const bulkPrefix = "bulkId:"

// reference gives the bulkId that a text refers to. A text that begins so by
// accident names no operation.
func (b *bulkRun) reference(text string) (string, bool) {
	id, ok := strings.CutPrefix(text, bulkPrefix)
	return id, ok && b.makers[id] != nil
}

// references gives the bulkIds that an operation names, ordered.
func (b *bulkRun) references(op *bulkOp) []string {
	var ids []string
	add := func(text string) {
		if id, ok := b.reference(text); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for s := range strings.SplitSeq(op.path, "/") {
		add(s)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			add(v)
			for _, s := range quoted(v) {
				add(s)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case Object:
			for _, e := range v {
				walk(e)
			}
		}
	}
	if op.data != nil {
		walk(op.data)
	}
	slices.Sort(ids)
	return ids
}

// quoted gives the references that stand in quotes inside a text: the path of a
// PATCH may have a filter.
func quoted(text string) []string {
	if !strings.Contains(text, `"`+bulkPrefix) {
		return nil
	}
	var found []string
	for i, s := range strings.Split(text, `"`) {
		if i%2 == 1 && strings.HasPrefix(s, bulkPrefix) {
			found = append(found, s)
		}
	}
	return found
}

// made gives the id of what an operation made.
func (b *bulkRun) made(bulkID string) (string, error) {
	op := b.makers[bulkID]
	if op == nil || !op.done || op.id == "" || op.result.status != http.StatusCreated {
		return "", &Error{Status: http.StatusConflict, Detail: "the operation that this one refers to by its bulkId has failed, or was not done"}
	}
	return op.id, nil
}

func (b *bulkRun) resolvePath(path string) (string, error) {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		id, isRef := strings.CutPrefix(s, bulkPrefix)
		if !isRef {
			continue
		}
		made, err := b.made(id)
		if err != nil {
			return "", err
		}
		segments[i] = made
	}
	return strings.Join(segments, "/"), nil
}

// resolve gives an operation's data with ids in the place of references; elements
// and attributes that refer to one of leave are left out.
func (b *bulkRun) resolve(op *bulkOp, leave []string) (Object, error) {
	if op.data == nil {
		return nil, nil
	}
	v, err := b.resolveValue(op.data, leave)
	if err != nil {
		return nil, err
	}
	o, _ := v.(Object)
	return o, nil
}

func (b *bulkRun) resolveValue(v any, leave []string) (any, error) {
	switch v := v.(type) {
	case string:
		return b.resolveText(v)
	case []any:
		list := make([]any, 0, len(v))
		for _, e := range v {
			if b.refers(e, leave) {
				continue
			}
			e, err := b.resolveValue(e, leave)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		return list, nil
	case Object:
		o := make(Object, len(v))
		for key, e := range v {
			if b.refers(e, leave) {
				continue
			}
			e, err := b.resolveValue(e, leave)
			if err != nil {
				return nil, err
			}
			o[key] = e
		}
		return o, nil
	}
	return v, nil
}

func (b *bulkRun) resolveText(text string) (any, error) {
	if id, ok := b.reference(text); ok {
		return b.made(id)
	}
	for _, s := range quoted(text) {
		id, ok := b.reference(s)
		if !ok {
			continue
		}
		made, err := b.made(id)
		if err != nil {
			return nil, err
		}
		text = strings.ReplaceAll(text, `"`+s+`"`, `"`+made+`"`)
	}
	return text, nil
}

// refers tells whether a value is a reference to one of leave, or an element whose
// value is.
func (b *bulkRun) refers(v any, leave []string) bool {
	if o, ok := v.(Object); ok {
		v, _, _ = field(o, "value")
	}
	text, _ := v.(string)
	id, ok := b.reference(text)
	return ok && slices.Contains(leave, id)
}
