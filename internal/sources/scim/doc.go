// Package scim is a source that identity providers push into: it keeps SCIM
// resources in the store, marks whom a change is about as due, and gives people as
// the resources want them.
//
// It speaks no protocol, that is package internal/scim, and changes nothing at
// Mattermost: the engine does. Its silence means nothing: only a resource that was
// deleted, or has active false, says that somebody has left.
package scim
