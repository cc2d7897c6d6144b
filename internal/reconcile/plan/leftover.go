package plan

import (
	"slices"
	"strconv"
	"strings"
)

// LeftoverKind is one kind of what an account leaves behind on the server when it is
// switched off.
type LeftoverKind string

// The kinds of what lives on.
const (
	LeftToken    LeftoverKind = "access_token"     // stops with its account, and works again with it
	LeftBot      LeftoverKind = "bot"              // still enabled
	LeftIncoming LeftoverKind = "incoming_webhook" // posts whatever reaches its address
	LeftOutgoing LeftoverKind = "outgoing_webhook" // sends messages to its addresses
	LeftCommand  LeftoverKind = "slash_command"    // sends what is typed to its address
	LeftApp      LeftoverKind = "oauth_app"        // asks people for access in the name of the server
)

// LeftoverKinds lists the kinds in the order in which they are shown.
func LeftoverKinds() []LeftoverKind {
	return []LeftoverKind{LeftToken, LeftBot, LeftIncoming, LeftOutgoing, LeftCommand, LeftApp}
}

// Leftover is one thing that belongs to somebody who was switched off.
type Leftover struct {
	Kind    LeftoverKind `json:"kind"`
	ID      string       `json:"id"`
	OwnerID string       `json:"owner_id"`
	// Name is what people know it by: a bot's username, a command's trigger, else its
	// title or description. It may be empty.
	Name string `json:"name,omitempty"`
	Team string `json:"team,omitempty"` // the team's name in addresses
}

// Leftovers is what was found of some people.
type Leftovers struct {
	Things []Leftover
	// Unlisted are the kinds that the server does not list, so that there may be more.
	Unlisted []Unlisted
}

// Unlisted is a kind of thing that the server does not list.
type Unlisted struct {
	Kind LeftoverKind `json:"kind"`
	Why  string       `json:"why"`
	// Off says that the server has the whole kind switched off.
	Off bool `json:"off"`
}

// Belongings are what an account owns that works without anybody logging in, and that
// can be disabled.
type Belongings struct {
	Tokens, Bots []Leftover // those that are not disabled
	// Hidden says why the tokens are not known; "" if they are.
	Hidden string
}

// Summary counts what there is in words that name nobody: a token's description is its
// owner's own; "" if there is nothing.
func (b *Belongings) Summary() string {
	var parts []string
	switch n := len(b.Tokens); {
	case n == 1:
		parts = append(parts, "1 access token")
	case n > 1:
		parts = append(parts, thousands(n)+" access tokens")
	}
	for i := range b.Bots {
		if i == mostBots {
			parts = append(parts, "and "+thousands(len(b.Bots)-i)+" more bots")
			break
		}
		parts = append(parts, "bot "+quote(b.Bots[i].Name))
	}
	return strings.Join(parts, ", ")
}

// disabling gives the ops that disable everything, for an owner who is on or off.
func (b *Belongings) disabling(on bool) []Op {
	var ops []Op
	for _, l := range slices.Concat(b.Tokens, b.Bots) {
		if op, may := l.Disabling(on); may {
			ops = append(ops, op)
		}
	}
	return ops
}

// Disabling gives the op that switches a thing off; false for what the server can only
// delete, which mmsync never does. The op is about its owner, and is carried out only
// while he is on, or off, as said.
func (l Leftover) Disabling(on bool) (Op, bool) {
	is := strconv.FormatBool(on)
	owner := Change{Field: FieldActive, From: is, To: is}
	switch l.Kind {
	case LeftToken:
		return Op{Kind: DisableToken, Changes: []Change{owner, {Field: FieldToken, From: l.ID, To: disabled}}}, true
	case LeftBot:
		return Op{Kind: DisableBot, Changes: []Change{owner, {Field: FieldBot, From: l.ID, To: disabled}}}, true
	case LeftIncoming, LeftOutgoing, LeftCommand, LeftApp:
	}
	return Op{}, false
}

// disabled is what becomes of a token or a bot.
const disabled = "disabled"

// Thing gives the id of the token or the bot that an op is about; "" for an op that is
// about the account alone.
func (o Op) Thing() string {
	for _, c := range o.Changes {
		if c.Field.OfThing() {
			return c.From
		}
	}
	return ""
}

// OfThing tells a field that is not of the account but of something it owns.
func (f Field) OfThing() bool { return f == FieldToken || f == FieldBot }
