package state

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// Every run reads every link, and encoding/json takes two thirds of that time.
// So accounts and applied states are read by hand, in the form Encode gives
// them; whatever is not of that form (an escape, a space, an unknown field) is
// left to encoding/json.

// DecodeAccount reads an encoded account; nil if there is none.
func DecodeAccount(b []byte) (*identity.Account, error) {
	if len(b) == 0 || string(b) == "null" {
		return nil, nil //nolint:nilnil // absent is an answer here
	}
	a := new(identity.Account)
	p := reader{s: string(b)}
	p.object(func(key string) { p.account(a, key) })
	if p.done() {
		return a, nil
	}
	*a = identity.Account{}
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("decode account: %w", err)
	}
	return a, nil
}

// DecodeApplied reads an encoded applied state.
func DecodeApplied(b []byte) (identity.Applied, error) {
	var a identity.Applied
	p := reader{s: string(b)}
	p.object(func(key string) { p.applied(&a, key) })
	if p.done() {
		return a, nil
	}
	a = identity.Applied{}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("decode applied state: %w", err)
	}
	return a, nil
}

func (p *reader) account(a *identity.Account, key string) {
	switch key {
	case "id":
		a.ID = p.text()
	case "roles":
		a.Roles = p.roles()
	case "auth":
		p.object(func(key string) { p.auth(&a.Auth, key) })
	case "create_at":
		a.CreateAt = p.number()
	case "update_at":
		a.UpdateAt = p.number()
	case "delete_at":
		a.DeleteAt = p.number()
	case "bot":
		a.Bot = p.flag()
	case "remote":
		a.Remote = p.flag()
	case "magic_link":
		a.MagicLink = p.flag()
	case "picture_at":
		a.PictureAt = p.number()
	default:
		p.profile(&a.Profile, key)
	}
}

func (p *reader) applied(a *identity.Applied, key string) {
	switch key {
	case "profile":
		p.object(func(key string) { p.profile(&a.Profile, key) })
	case "owned":
		a.Owned = identity.Attributes(p.number()) //nolint:gosec // written from the same type
	case "roles":
		a.Roles = p.roles()
	case "auth":
		p.object(func(key string) { p.auth(&a.Auth, key) })
	case "active":
		a.Active = p.flag()
	case "username":
		a.Username = p.text()
	case "match_key":
		a.MatchKey = p.text()
	case "manager":
		a.Manager = p.text()
	case "hash":
		a.Hash = p.text()
	case "custom":
		a.Custom = map[string]string{}
		p.object(func(key string) { a.Custom[key] = p.text() })
	case "picture":
		a.Picture = p.text()
	case "picture_at":
		a.PictureAt = p.number()
	case "picture_refused":
		a.PictureRefused = p.text()
	default:
		p.bad = true
	}
}

func (p *reader) profile(f *identity.Profile, key string) {
	switch identity.Attribute(key) {
	case identity.Username:
		f.Username = p.text()
	case identity.Email:
		f.Email = p.text()
	case identity.FirstName:
		f.FirstName = p.text()
	case identity.LastName:
		f.LastName = p.text()
	case identity.Nickname:
		f.Nickname = p.text()
	case identity.Position:
		f.Position = p.text()
	case identity.Locale:
		f.Locale = p.text()
	case identity.Timezone:
		f.Timezone = p.text()
	default:
		p.bad = true
	}
}

func (p *reader) auth(a *identity.Auth, key string) {
	switch key {
	case "service":
		a.Service = p.text()
	case "data":
		a.Data = p.text()
	default:
		p.bad = true
	}
}

// reader goes through one JSON text without spaces and escapes. Its strings
// are parts of that text. After bad is set it moves no more.
type reader struct {
	s   string
	bad bool
}

func (p *reader) done() bool { return !p.bad && p.s == "" }

// take eats a literal if it is next.
func (p *reader) take(literal string) bool {
	rest, ok := strings.CutPrefix(p.s, literal)
	if ok && !p.bad {
		p.s = rest
	}
	return ok && !p.bad
}

func (p *reader) need(literal string) {
	if !p.take(literal) {
		p.bad = true
	}
}

func (p *reader) object(field func(key string)) {
	p.need("{")
	if p.take("}") {
		return
	}
	for !p.bad {
		key := p.text()
		p.need(":")
		if p.bad {
			return
		}
		field(key)
		if p.take("}") {
			return
		}
		p.need(",")
	}
}

func (p *reader) text() string {
	p.need(`"`)
	end := strings.IndexByte(p.s, '"')
	if p.bad || end < 0 {
		p.bad = true
		return ""
	}
	text := p.s[:end]
	if strings.IndexByte(text, '\\') >= 0 {
		p.bad = true
		return ""
	}
	p.s = p.s[end+1:]
	return text
}

func (p *reader) number() int64 {
	end := 0
	for end < len(p.s) && (p.s[end] == '-' || p.s[end] >= '0' && p.s[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(p.s[:end], 10, 64)
	if err != nil || p.bad {
		p.bad = true
		return 0
	}
	p.s = p.s[end:]
	return n
}

func (p *reader) flag() bool {
	if p.take("true") {
		return true
	}
	p.need("false")
	return false
}

func (p *reader) roles() identity.Roles {
	switch {
	case p.take("null"):
		return nil
	case p.take(`["` + identity.RoleUser + `"]`): // nearly everybody; shared
		return identity.ParseRoles(identity.RoleUser)
	case p.take("[]"):
		return identity.Roles{}
	}
	var out identity.Roles
	p.need("[")
	for !p.bad {
		out = append(out, p.text())
		if p.take("]") {
			break
		}
		p.need(",")
	}
	return out
}
