package scim

import (
	"time"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// ResourceType is one kind of resource, RFC 7643 section 6.
type ResourceType struct {
	Name        string // "User"
	Endpoint    string // "/Users"
	Description string
	Schema      *Schema
	Extensions  []Extension
}

// Extension is a schema extension of a ResourceType.
type Extension struct {
	Schema   *Schema
	Required bool
}

// Schema is a schema of RFC 7643 section 7.
type Schema struct {
	ID, Name, Description string
	Attributes            []Attribute
}

// Attribute is one attribute of a Schema, all characteristics written out.
type Attribute struct {
	Name, Description string
	Type              Type
	MultiValued       bool
	Required          bool
	CaseExact         bool
	Mutability        Mutability
	Returned          Returned
	Uniqueness        Uniqueness
	CanonicalValues   []string
	ReferenceTypes    []string
	SubAttributes     []Attribute
	// Sensitive attributes are refused in filters with 403, RFC 7644 section 7.5.2.
	Sensitive bool
}

// Type is an attribute's data type, RFC 7643 section 2.3.
type Type string

// The data types.
const (
	String    Type = "string"
	Boolean   Type = "boolean"
	Decimal   Type = "decimal"
	Integer   Type = "integer"
	DateTime  Type = "dateTime"
	Binary    Type = "binary"
	Reference Type = "reference"
	Complex   Type = "complex"
)

// Mutability, Returned and Uniqueness are of RFC 7643 section 2.2.
type (
	Mutability string
	Returned   string
	Uniqueness string
)

// The characteristics' values.
const (
	ReadWrite Mutability = "readWrite"
	ReadOnly  Mutability = "readOnly"
	Immutable Mutability = "immutable"
	WriteOnly Mutability = "writeOnly"

	ReturnedDefault Returned = "default"
	ReturnedAlways  Returned = "always"
	ReturnedNever   Returned = "never"
	ReturnedRequest Returned = "request"

	UniqueNone   Uniqueness = "none"
	UniqueServer Uniqueness = "server"
	UniqueGlobal Uniqueness = "global"
)

// Lenient are the deviations from the RFCs that a Handler puts up with, by name.
// Strict is the zero value.
type Lenient map[Quirk]bool

// Quirk names one deviation. docs/scim.md lists who sends it.
type Quirk string

// Noted is called with each Quirk that a request made use of.
type Noted func(Quirk)

// PatchOp is one operation of a PATCH document.
type PatchOp struct {
	Op    string // "add", "remove" or "replace"
	Path  string // "" = none
	Value any
	// HasValue tells a null or missing value apart.
	HasValue bool
}

// Accept checks the body of a POST (before nil) or PUT against the schemas and
// gives what is to be kept: known attributes in the spelling of the schema,
// readOnly ones taken from before, null and empty ones left out.
func (t *ResourceType) Accept(body Object, before *Resource, l Lenient, noted Noted) (Object, error) {
	panic("model")
}

// Patch applies operations in order to a copy of the resource's attributes, all or
// nothing, RFC 7644 section 3.5.2.
func (t *ResourceType) Patch(r Resource, ops []PatchOp, l Lenient, noted Noted) (Object, error) {
	panic("model")
}

// Diff gives what changed, in order of the attributes' names; nil if nothing did.
func (t *ResourceType) Diff(before, after Object) []Changed {
	panic("model")
}

// Projection is which attributes an answer has, RFC 7644 section 3.9.
type Projection struct{ attributes, excluded []filter.Attr }

// ParseProjection reads the parameters attributes and excludedAttributes.
func ParseProjection(attributes, excluded string, l Lenient, noted Noted) (Projection, error) {
	panic("model")
}

// Show gives the resource as it is answered: schemas, id, meta with location below
// base, and of the attributes those that the projection and "returned" let through.
func (t *ResourceType) Show(r Resource, base string, p Projection) Object {
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

// Meta is a resource's meta attribute.
func (t *ResourceType) Meta(r Resource, base string) Object {
	_ = time.RFC3339
	panic("model")
}
