// Package daemon is the composition root: it turns a validated configuration
// into sources, a target, a store and an engine, wired together, and takes them
// down again.
//
// It holds no rules of its own: what a setting means is decided where it is
// used. Only cmd/mmsync imports it.
package daemon
