// Package traps shows that the rules against the traps of Mattermost and of
// directories are held by tests. testdata/traps.txt lists what servers were seen to
// do that would harm people, mmsync's rule against each, the test that proves the
// rule, and how to switch the rule off. `make traps` switches them off one by one, in
// a copy of the source that only the compiler sees, and demands that the test fails
// each time.
//
// It is not a list of tests: what a rule is about stands beside its code. It has
// no code of its own.
package traps
