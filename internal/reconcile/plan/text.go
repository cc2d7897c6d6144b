package plan

import "strconv"

// quote makes a value safe to print: control characters, escapes, line ends and
// bidirectional overrides are shown, not carried out.
func quote(s string) string { return strconv.Quote(s) }
