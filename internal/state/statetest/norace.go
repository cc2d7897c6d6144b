//go:build !race

package statetest

// many is more people than most servers have.
const many = 100_000
