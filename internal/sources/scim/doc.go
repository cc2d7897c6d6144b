// Package scim gives the SCIM protocol its meaning here: who may push, and what a
// resource that was pushed says about a person.
//
// It parses no request and writes no answer, which internal/scim does, and it calls
// neither Mattermost nor the engine.
package scim
