// Package e2ereal holds one suite for every Mattermost server there is: the
// engine as an installation has it, wired from a written configuration with a
// file of people and an SQLite store, against the server that
// MMSYNC_TEST_MATTERMOST_URL and MMSYNC_TEST_MATTERMOST_TOKEN name (a system
// admin's token). Without them it runs against the simulator, as an 11.6 and as
// a 5.38 server, so that it is always exercised.
//
// It makes accounts whose names begin with mms- and eight characters of its own,
// changes nobody else's, and leaves no active account behind, also when it fails.
// What a server can do it finds out by trying, never from a version. What needs a
// server to misbehave is not here but in the tests that have a simulator.
//
// A server that is not on this machine is refused unless MMSYNC_TEST_MATTERMOST_OK
// says "yes, change accounts there".
//
// It has no code of its own.
package e2ereal
