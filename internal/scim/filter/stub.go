package filter

// Options bound and loosen parsing; the zero value is strict with default limits.
type Options struct {
	Bytes, Depth, Terms int // default 8192, 32, 200
	// Lenient tells whether a further spelling, by name, may be read; nil: none. It
	// is asked when one is met.
	Lenient func(quirk string) bool
}

// Error says what is wrong with a filter or path, and where.
type Error struct {
	Offset int // in bytes, from 0
	Text   string
	// Limit tells that a limit was exceeded.
	Limit bool
}

func (e *Error) Error() string { return e.Text }

// Parse reads a filter; a fault is an *Error.
func Parse(text string, o Options) (Expr, error) { panic("filter") }

// ParsePath reads the path of a PATCH operation; a fault is an *Error.
func ParsePath(text string, o Options) (Path, error) { panic("filter") }

// ParseAttr reads a plain attribute name with an optional URN and sub-attribute.
func ParseAttr(text string) (Attr, error) { panic("filter") }

// Equality is an attribute that has to have a value.
type Equality struct {
	Attr  Attr
	Value Value
}

// Equalities gives comparisons that every match of e fulfils, in the order in which
// they were written: a store with an index of one of them need look no further.
func Equalities(e Expr) []Equality { panic("filter") }

// Field is what a filter has to know of an attribute to compare it.
type Field struct {
	// Values gives the values that an Attr has in an item: none, one, or several.
	Values func(item any) []any
	Kind   Kind
	Exact  bool // compares with case
	// Element resolves attributes inside the brackets of a value path; nil if the
	// attribute has no sub-attributes.
	Element Schema
}

// Kind is how values compare.
type Kind int

// The kinds of values.
const (
	Text Kind = iota
	Bool
	Number
	Time
	Bytes
)

// Schema resolves an attribute; a fault is returned as it is by Compile.
type Schema interface {
	Field(a Attr) (Field, error)
}

// Compile turns a tree into a predicate over items as the Schema's Fields read them.
func Compile(e Expr, s Schema) (func(item any) bool, error) { panic("filter") }
