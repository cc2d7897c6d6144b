// Package conformance lets clients that other people wrote talk to the simulated
// Mattermost server: the JavaScript client of Mattermost itself and a Python
// driver that is generated from Mattermost's description of its interface. What
// they take for a Mattermost server cannot be one by our own misunderstanding
// alone.
//
// It also has two programs that judge SCIM servers, scim2-tester and scim-sanity,
// judge mmsync's own endpoint as mmsync demo serves it.
//
// It is no test of those clients. Its tests are skipped unless
// MMSYNC_TEST_CONFORMANCE names the clients to run (node, python, scim), which
// `make conformance` does after having installed them.
package conformance
