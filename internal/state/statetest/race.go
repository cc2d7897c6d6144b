//go:build race

package statetest

// SQLite is C turned into Go, which the race detector slows down fiftyfold.
const many = 10_000
