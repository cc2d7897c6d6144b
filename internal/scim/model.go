package scim

import (
	"github.com/mmsync/mmsync/internal/scim/filter"
)

// PatchOp is one operation of a PATCH document.
type PatchOp struct {
	Op    string // "add", "remove" or "replace"
	Path  string // "" = none
	Value any
	// HasValue tells a null or missing value apart.
	HasValue bool
}

// Patch applies operations in order to a copy of the resource's attributes, all or
// nothing, RFC 7644 section 3.5.2.
func (t *ResourceType) Patch(r Resource, ops []PatchOp, l Lenient, noted Noted) (Object, error) {
	panic("model")
}

// Compile turns a filter into a predicate over resources of this type, id, meta and
// schemas included. Unknown attributes and comparisons that a type does not have are
// an *Error with invalidFilter, or match nothing where l says so; sensitive ones are
// refused with 403.
func (t *ResourceType) Compile(e filter.Expr, l Lenient, noted Noted) (func(Resource) bool, error) {
	panic("model")
}

// SortKey gives the order of sortBy: a comparison of two resources, resources
// without the attribute last if ascending, RFC 7644 section 3.4.2.3.
func (t *ResourceType) SortKey(sortBy string, descending bool) (func(a, b Resource) int, error) {
	panic("model")
}
