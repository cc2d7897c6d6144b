// Package sources turns what a directory or a file says about a person into
// an identity.Identity: one Mapper, compiled from the configuration, is fed
// Records and gives Identities.
//
// It reads nothing itself and knows neither LDAP's protocol nor any file
// format; those are the packages below it. It does not judge whether
// Mattermost would accept a name, and it decides no change. It is the only
// package that sees the expression engine.
package sources
