// Package reconcile is the shell around the pure core: it gathers what sources
// want and what the server has, lets package plan decide and package guard
// judge, journals the plan, carries it out one call per account at a time, and
// records every outcome before it believes it.
//
// It decides nothing itself, speaks no protocol and knows no database: sources,
// target and store are interfaces, declared here or in package state.
package reconcile
