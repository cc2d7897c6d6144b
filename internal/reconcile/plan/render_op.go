package plan

import "github.com/mmsync/mmsync/internal/identity"

func (o Op) lines() []line {
	switch o.Kind {
	case SetActive:
		if o.ByDelete {
			return []line{{"-", "by DELETE", "the one call that switches off accounts of this server's own LDAP sync; nothing is erased"}}
		}
		return nil // the action's own line says it
	case LinkAccount, UnlinkAccount:
		return nil
	case DeleteAccount:
		return nil // the action's own line says it
	case RevokeSessions:
		return []line{{"-", "sessions", "are all ended"}}
	case Promote:
		return []line{{"@", "guest", "becomes a full member"}}
	case Demote:
		return []line{{"@", "guest", "becomes a guest"}}
	case MailReset:
		return []line{{">", "reset link", "is mailed, to set a password with"}}
	case SetAuth, SetPassword:
		if o.Detour != "" {
			return []line{o.leg()}
		}
	case DisableToken:
		return []line{{"-", "token", quote(o.Thing()) + " is disabled"}}
	case DisableBot:
		return []line{{"-", "bot", quote(o.Thing()) + " is disabled"}}
	case MakeTeam, MakeChannel:
		return nil // the action's own line says it
	default:
	}
	if _, _, _, ok := o.Space(); ok {
		return nil // one line tells of all of them
	}
	var out []line
	for _, c := range o.Changes {
		if c.From == c.To && c.Field != FieldPicture {
			continue // one half of a login that is written whole
		}
		l := line{"~", string(c.Field), quote(c.From) + " -> " + quote(c.To)}
		switch c.Field {
		case FieldRoles:
			l.sign = "@"
		case FieldAuthService:
			l.sign, l.label = ">", "login"
		case FieldAuthData:
			l.sign, l.label = ">", "login data"
		case FieldPicture:
			l.text = o.PictureText()
		}
		if o.Kind == CreateAccount {
			switch c.Field {
			case Field(identity.Nickname), Field(identity.Position), Field(identity.Locale), Field(identity.Timezone):
				l.sign, l.text = "+", quote(c.To)
			default:
				continue // in the first line
			}
		}
		if o.Parks {
			l.text += " (for a moment, to break a ring)"
		}
		out = append(out, l)
	}
	return out
}

// leg says where a detour goes.
func (o Op) leg() line {
	to, _ := o.To(FieldAuthService)
	switch {
	case o.Detour == Back:
		return line{">", "detour", "and the login is by " + clean(to) + " again"}
	case to == "":
		return line{">", "detour", "for a moment the login is by a password that nobody knows"}
	}
	return line{">", "detour", "for a moment the login is by " + clean(to)}
}

// tellingBase is how many entries it takes for a percentage to say something.
const tellingBase = 20
