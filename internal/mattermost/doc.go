// Package mattermost is a narrow client for the users API of a Mattermost
// server (5.26 to 11.x), and the Target that carries out the calls of a plan.
// It follows what servers were observed to answer, odd answers included: a
// success status is compared with what was asked, a refusal is believed only
// when it says what it seems to say, and a write without an answer is reported
// as "outcome unknown" and never repeated blindly.
//
// It is not a general Mattermost client: whatever is not in its table of routes
// is refused before it leaves. It decides nothing (package plan does), keeps no
// state beyond the server's version and rate, and journals nothing.
package mattermost
