// Package conformance lets clients that other people wrote talk to the simulated
// Mattermost server: the JavaScript client of Mattermost itself and a Python
// driver that is generated from Mattermost's description of its interface. What
// they take for a Mattermost server cannot be one by our own misunderstanding
// alone.
//
// It is not a test of mmsync, and no test of those clients. Its tests are skipped
// unless MMSYNC_TEST_CONFORMANCE names the clients to run (node, python), which
// `make conformance` does after having installed them.
package conformance
