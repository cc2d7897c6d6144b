package scim

import (
	"time"

	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// StatusURN is the extension that says how far Mattermost has followed. Clients read
// it and cannot write it.
const StatusURN = "urn:mmsync:params:scim:schemas:extension:status:1.0:User"

// statusExtension is the extension's schema, of which clients are shown nothing unless
// they ask for it if asked is set.
func statusExtension(asked bool) protocol.Extension {
	returned := protocol.ReturnedDefault
	if asked {
		returned = protocol.ReturnedRequest
	}
	attr := func(name, text string, values ...string) protocol.Attribute {
		return protocol.Attribute{
			Name: name, Type: protocol.String, Description: text, CanonicalValues: values,
			Mutability: protocol.ReadOnly, Returned: returned, Uniqueness: protocol.UniqueNone,
		}
	}
	since := attr("since", "Since when that is so.")
	since.Type = protocol.DateTime
	return protocol.Extension{Unlisted: asked, Schema: &protocol.Schema{
		ID: StatusURN, Name: "Status", Description: "How far Mattermost has followed",
		Attributes: []protocol.Attribute{
			attr("state", "applied: Mattermost is as wanted. pending: it is being worked on, or put off. held: something waits for a person, reason and detail say what.", "applied", "pending", "held"),
			attr("reason", "Why something is held or put off, as mmsync explain and docs/operations.md call it."),
			attr("detail", "The same in one sentence."),
			since,
		},
	}}
}

// UserType is the protocol's User with the Status extension, which is shown to who asks
// for it alone if asked is set.
func UserType(asked bool) *protocol.ResourceType {
	t := protocol.UserType()
	t.Extensions = append(t.Extensions, statusExtension(asked))
	return t
}

// status says what is due of somebody, nil if nothing is.
func status(d *state.Due) protocol.Object {
	out := protocol.Object{"state": "applied"}
	if d == nil || d.Reason == state.DueApplied {
		return out
	}
	out["state"], out["since"] = "pending", d.Since.UTC().Format(time.RFC3339)
	if d.Held {
		out["state"] = "held"
	}
	if d.Reason != "" {
		out["reason"] = d.Reason
	}
	if d.Note != "" {
		out["detail"] = d.Note
	}
	return out
}
