package filter

// Options bound and loosen parsing; the zero value is strict with default limits.
type Options struct {
	// Bytes is the length of the text, Depth how deep brackets may nest, Terms how
	// many comparisons there may be; 0 or less: 8192, 32, 200.
	Bytes, Depth, Terms int
	// Lenient tells whether a further spelling, by name, may be read; nil: none. It
	// is asked when one is met.
	Lenient func(quirk string) bool
}

// The further spellings that Options.Lenient is asked for.
const (
	// ValuePathSub is a comparison of the element that a value path selects, which
	// the grammar of RFC 7644 section 3.4.2.2 does not have:
	// emails[type eq "work"].value eq "x", emails[type eq "work"].value pr.
	ValuePathSub string = "filter.valuePathSub"
	// BareWord is a comparison value without quotes: userName eq nora,
	// meta.created gt 2021-03-04T05:06:07Z. It reaches to the next white space,
	// bracket or quote; true, false, null and numbers stay what they are.
	BareWord string = "filter.bareWord"
	// TimeSpace is a time whose offset lost its plus sign, because it was not escaped
	// in a query: 2021-03-04T05:06:07 02:00.
	TimeSpace string = "filter.timeSpace"
	// BoolText is a boolean in quotes, in any case: primary eq "True".
	BoolText string = "filter.boolText"
)

// The default limits.
const (
	defaultBytes = 8192
	defaultDepth = 32
	defaultTerms = 200
)

func (o Options) filled() Options {
	if o.Bytes <= 0 {
		o.Bytes = defaultBytes
	}
	if o.Depth <= 0 {
		o.Depth = defaultDepth
	}
	if o.Terms <= 0 {
		o.Terms = defaultTerms
	}
	return o
}

func (o Options) may(quirk string) bool { return o.Lenient != nil && o.Lenient(quirk) }

// Error says what is wrong with a filter or path, and where. Of the text it repeats
// a few characters at most.
type Error struct {
	// Offset is in bytes, from 0. It is -1 for a fault that Compile finds: a tree does
	// not know where it stood, and the Text names the attribute.
	Offset int
	Text   string
	// Limit tells that a limit was exceeded.
	Limit bool
}

func (e *Error) Error() string { return e.Text }
