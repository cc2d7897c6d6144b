// Package mmsim is the part of the Mattermost REST API that an identity sync
// touches, simulated on the wire: users and their look-ups, authentication,
// sessions and access tokens, bots, teams, channels, configuration and limits.
//
// It is for tests and for the demo. It answers as a Mattermost 11.6 Team
// Edition server was recorded to answer, odd answers included, and a replay of
// that recording in this package's tests holds it to that; the 5.38 profile
// carries the differences that were cheap to keep. It takes faults on request,
// tells what it was asked, and can be set back to an earlier state.
//
// It is not a Mattermost server: there is nothing to read posts with, no web app, no websocket,
// no permission schemes beyond admin and user, and nothing survives the
// process. Where the recording is silent it does the plain thing and no caller
// may take that for knowledge about Mattermost.
//
// A Server is an [http.Handler]; [Server.Listen] puts it on a loopback port and
// [Server.Close] waits until that port is silent.
package mmsim
