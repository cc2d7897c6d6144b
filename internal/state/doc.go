// Package state is the port to what mmsync keeps between runs: who owns which
// account, what was planned, sent and answered, who was missing since when, and
// who may write now. It holds the records, the errors and the Store interface.
//
// It is not a store: state/postgres and state/sqlite are, and state/statetest
// is the contract both are held to. Nothing kept here is believed over the
// server's own answers; a link is a claim that every run verifies.
package state
