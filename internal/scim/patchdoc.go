package scim

import (
	"fmt"
	"net/http"
	"strings"
)

// patchOps reads a PATCH document, RFC 7644 section 3.5.2.
func (c *call) patchOps(doc Object) ([]PatchOp, error) {
	if err := c.patchSchemas(doc); err != nil {
		return nil, err
	}
	v, _, err := field(doc, "Operations")
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid(InvalidSyntax, "Operations has to be a list")
	}
	if len(list) == 0 && !c.lets(QuirkNoOperations) {
		return nil, invalid(InvalidSyntax, "there are no Operations")
	}
	if limit := c.h.limits.Patch; len(list) > limit {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("a PATCH may have %d operations", limit)}
	}
	if err := c.extraKeys(doc, "schemas", "operations"); err != nil {
		return nil, err
	}
	ops := make([]PatchOp, len(list))
	for i, v := range list {
		if ops[i], err = c.patchOp(v); err != nil {
			return nil, err
		}
	}
	return ops, nil
}

func (c *call) patchSchemas(doc Object) error {
	v, _, err := field(doc, "schemas")
	if err != nil {
		return err
	}
	if list, ok := v.([]any); ok && len(list) == 1 {
		if s, ok := list[0].(string); ok && strings.EqualFold(s, messagePatch) {
			return nil
		}
	}
	if !c.lets(QuirkPatchDocument) {
		return invalid(InvalidSyntax, "schemas has to be "+messagePatch)
	}
	return nil
}

func (c *call) extraKeys(o Object, known ...string) error {
	for key := range o {
		extra := true
		for _, k := range known {
			extra = extra && !strings.EqualFold(key, k)
		}
		if extra && !c.lets(QuirkPatchKeys) {
			return invalid(InvalidSyntax, "a PATCH has a key that RFC 7644 section 3.5.2 does not know")
		}
	}
	return nil
}

func (c *call) patchOp(v any) (PatchOp, error) {
	o, ok := v.(Object)
	if !ok {
		return PatchOp{}, invalid(InvalidSyntax, "an operation has to be an object")
	}
	if err := c.extraKeys(o, "op", "path", "value"); err != nil {
		return PatchOp{}, err
	}
	var op PatchOp
	var err error
	if op.Op, err = c.opName(o); err != nil {
		return PatchOp{}, err
	}
	if op.Path, err = c.opPath(o); err != nil {
		return PatchOp{}, err
	}
	if op.Value, op.HasValue, err = field(o, "value"); err != nil {
		return PatchOp{}, err
	}
	if text, ok := op.Value.(string); ok && op.Path == "" && op.Op != "remove" {
		op.Value = c.unpack(text)
	}
	return op, nil
}

// unpack reads a value that is an object in a text; any other text stays.
func (c *call) unpack(text string) any {
	if v, fault := parseJSON([]byte(text), c.h.limits.Depth); fault == nil {
		if o, ok := v.(Object); ok && c.lets(QuirkValueText) {
			return o
		}
	}
	return text
}

func (c *call) opName(o Object) (string, error) {
	v, _, err := field(o, "op")
	if err != nil {
		return "", err
	}
	name, _ := v.(string)
	switch lower := strings.ToLower(name); lower {
	case "add", "remove", "replace":
		if lower == name || c.lets(QuirkOpCase) {
			return lower, nil
		}
	case "delete":
		if c.lets(QuirkOpDelete) {
			return "remove", nil
		}
	}
	return "", invalid(InvalidSyntax, "op has to be add, remove or replace")
}

func (c *call) opPath(o Object) (string, error) {
	v, ok, err := field(o, "path")
	if err != nil {
		return "", err
	}
	path, isText := v.(string)
	switch {
	case !ok, path != "":
		return path, nil
	case !isText && v != nil:
		return "", invalid(InvalidPath, "path has to be a string")
	case !c.lets(QuirkEmptyPath):
		return "", invalid(InvalidPath, "path is empty")
	}
	return "", nil
}
