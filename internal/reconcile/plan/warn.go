package plan

import (
	"cmp"
	"slices"
	"strings"
)

// Warnings says what should be known before the decisions are carried out. They
// come in a fixed order.
func Warnings(list []Decision, f *Facts, p Policy) []string {
	out := append(ldapWarnings(list, f, p), loginWarnings(list, f)...)
	if f.NoPictures && len(p.Pictures) > 0 {
		out = append(out, "this server has nowhere to keep files, so no picture is set; set up FileSettings in Mattermost, or remove picture from the sources")
	}
	return append(out, customWarnings(f, p)...)
}

func ldapWarnings(list []Decision, f *Facts, p Policy) []string {
	if !f.LDAPLocked || p.DeleteEndpoint {
		return nil
	}
	n := 0
	for i := range list {
		for _, op := range list[i].Ops {
			if op.entersLDAP() {
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	what, leave := "1 account gets", "its person leaves"
	if n > 1 {
		what, leave = thousands(n)+" accounts get", "their people leave"
	}
	return []string{what + " the login service ldap, and this server (" + clean(f.Version) + ") lets only its own LDAP sync switch such accounts off: when " +
		leave + ", mmsync can end sessions and take roles, and no more; set lifecycle.deactivate.delete_endpoint: true to let it switch them off"}
}

// loginWarnings tells of accounts that are made for a login service that is off. Making
// them early is right where the service is about to be switched on.
func loginWarnings(list []Decision, f *Facts) []string {
	var out []string
	for _, service := range f.LoginsOff {
		n := 0
		for i := range list {
			for _, op := range list[i].Ops {
				if to, _ := op.To(FieldAuthService); op.Kind == CreateAccount && to == service {
					n++
				}
			}
		}
		switch {
		case n == 1:
			out = append(out, "1 account is made with the login service "+clean(service)+", which this server has switched off, or has no licence for: nobody can log in to it until that changes")
		case n > 1:
			out = append(out, thousands(n)+" accounts are made with the login service "+clean(service)+", which this server has switched off, or has no licence for: nobody can log in to them until that changes")
		}
	}
	return out
}

// entersLDAP tells whether an account comes under the server's own LDAP sync by
// an Op.
func (o Op) entersLDAP() bool {
	if o.Detour != "" {
		return false // it was there before
	}
	switch o.Kind {
	case CreateAccount, SetAuth:
		for _, c := range o.Changes {
			if c.Field == FieldAuthService {
				return c.To == ldapService && c.From != ldapService
			}
		}
	default:
	}
	return false
}

// Leavers gives the ids of the accounts that a plan switches off, with their
// usernames.
func (p Plan) Leavers() map[string]string {
	out := map[string]string{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		for _, op := range d.Ops {
			if to, _ := op.To(FieldActive); op.Kind == SetActive && to == "false" {
				out[d.AccountID] = d.Username
			}
		}
	}
	return out
}

// StoppingBot is a bot that the server switches off together with its owner.
type StoppingBot struct {
	Username string `json:"username"`
	Owner    string `json:"owner"`
	OwnerID  string `json:"owner_id"`
}

// WithBots gives the plan with the bots that stop because of it, given all bots of
// owners by their ids.
func (p Plan) WithBots(of map[string][]string) Plan {
	p.Bots = nil
	for id, owner := range p.Leavers() {
		for _, bot := range of[id] {
			p.Bots = append(p.Bots, StoppingBot{Username: bot, Owner: owner, OwnerID: id})
		}
	}
	slices.SortFunc(p.Bots, func(a, b StoppingBot) int {
		return cmp.Or(cmp.Compare(a.Username, b.Username), cmp.Compare(a.OwnerID, b.OwnerID))
	})
	return p
}

// mostBots is how many bots are named.
const mostBots = 10

// botsLine says which bots stop; "" if none does.
func (p Plan) botsLine(s Style) string {
	if len(p.Bots) == 0 {
		return ""
	}
	const text = "bots that stop with their owner: "
	if s.Redact {
		return text + thousands(len(p.Bots))
	}
	var named []string
	for _, b := range p.Bots[:min(len(p.Bots), mostBots)] {
		named = append(named, quote(b.Username)+" (owner "+visible(b.Owner)+")")
	}
	more := ""
	if n := len(p.Bots) - len(named); n > 0 {
		more = " and " + thousands(n) + " more"
	}
	return text + strings.Join(named, ", ") + more
}
