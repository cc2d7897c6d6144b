package filter

// Expr is one node of a filter: *And, *Or, *Not, *Compare, *Present or
// *ValuePath. String prints it in canonical spelling; parsing that again gives an
// equal tree.
type Expr interface {
	String() string
	expr()
}

// And holds when both sides do.
type And struct{ Left, Right Expr }

// Or holds when one side does.
type Or struct{ Left, Right Expr }

// Not holds when Of does not.
type Not struct{ Of Expr }

// Compare compares an attribute with a value. Of several values of an attribute
// any one may compare so; with ne, none may be equal.
type Compare struct {
	Attr  Attr
	Op    Op
	Value Value
}

// Present (pr) holds when the attribute has a value that is not empty.
type Present struct{ Attr Attr }

// ValuePath holds when one element of a multi-valued attribute fits Filter:
// emails[type eq "work" and value co "@example.org"]. Its attributes are the
// element's. Then, if not nil, has to hold for the same element: Entra writes
// emails[type eq "work"].value eq "x".
type ValuePath struct {
	Attr   Attr
	Filter Expr
	Then   Expr
}

func (*And) expr()       {}
func (*Or) expr()        {}
func (*Not) expr()       {}
func (*Compare) expr()   {}
func (*Present) expr()   {}
func (*ValuePath) expr() {}

// Attr names an attribute as it was written: an optional schema URN, a name and
// an optional sub-attribute. Names compare without case, in ASCII.
type Attr struct{ URN, Name, Sub string }

// Op is a comparison of RFC 7644 table 3, in lower case.
type Op string

// The comparisons.
const (
	Equal          Op = "eq"
	NotEqual       Op = "ne"
	Contains       Op = "co"
	StartsWith     Op = "sw"
	EndsWith       Op = "ew"
	Greater        Op = "gt"
	GreaterOrEqual Op = "ge"
	Less           Op = "lt"
	LessOrEqual    Op = "le"
)

// Value is what an attribute is compared with: a string, a bool, a json.Number, or
// nil for null.
type Value any

// Path names what one PATCH operation changes: ATTR, ATTR[FILTER] or
// ATTR[FILTER].SUB, RFC 7644 section 3.5.2.
//
// A schema URN alone names a whole extension. Its spelling does not tell it from an
// attribute with a URN: the last colon parts URN and Name, so that
// urn:ietf:params:scim:schemas:extension:enterprise:2.0:User is read as the Name
// "User" below a URN that ends in "2.0". Whoever knows the schemas asks first
// whether Attr.String is the URN of one. Only where what follows the last colon
// cannot be a name, as in urn:example:ext:2.0, all of it is the URN and Name is empty.
type Path struct {
	Attr   Attr // of ATTR[FILTER].SUB, Sub stands here too
	Filter Expr // nil without brackets
}
