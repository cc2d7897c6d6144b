// Package plan is the pure core of mmsync: it decides what has to be done about
// one identity (Decide), and orders the decisions of many into a Plan (Build)
// that can be shown, hashed, guarded, journaled and applied.
//
// It does no I/O, knows no clock, no log and no randomness, and it never fails:
// every Observation has a Decision, and every Decision has a Reason. It is not
// the place for limits on how much may change at once; that is package guard.
package plan
