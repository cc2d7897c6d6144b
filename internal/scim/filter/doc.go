// Package filter is the language in which SCIM clients ask: filters and
// attribute paths, RFC 7644 sections 3.4.2.2 and 3.5.2, and the further spellings
// that clients send. Text is parsed once, within limits, into a tree; the tree is
// printed, compiled into a predicate, or read by a store that has an index.
//
// Read without asking are white space of any length and operators in any case. All
// that goes beyond the grammar otherwise has a name, is asked for by it, and is
// refused where the answer is no: ValuePathSub, BareWord and TimeSpace while
// parsing, BoolText and TimeSpace while compiling.
//
// It does not know which attributes exist: whoever compiles says so. It reads no
// network and keeps nothing.
package filter
