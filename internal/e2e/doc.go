// Package e2e holds the end-to-end tests: the real program, run as a process
// of its own against a real slapd, a simulated Mattermost on the loopback
// address, and SQLite or PostgreSQL as its store.
//
// It has no code of its own. What a test proves is what an administrator sees:
// exit codes, the words on stderr, and the accounts on the server.
package e2e
