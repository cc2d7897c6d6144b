package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// outlook says what carrying the plan out brings with it, and what comes by itself
// without it.
func outlook(b *strings.Builder, p Plan) {
	mails, waiting := 0, 0
	var first time.Time
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Action != Create && renames(d) {
			mails++
		}
		if d.Reason == InGrace && d.Held == Deactivate && d.Until != nil {
			if waiting++; first.IsZero() || d.Until.Before(first) {
				first = *d.Until
			}
		}
	}
	if mails > 0 {
		b.WriteString("Mails: the server writes to " + people(mails) + " that the username or e-mail was changed\n")
	}
	if waiting > 0 {
		b.WriteString("Graces: " + people(waiting) + " to be switched off later, the first on " + day(first) + "\n")
	}
}

// renames tells whether a decision changes a username or an e-mail of an account that
// exists: the server mails its owner about both.
func renames(d *Decision) bool {
	for _, op := range d.Ops {
		if op.Kind != PatchProfile || op.Parks {
			continue
		}
		for _, c := range op.Changes {
			if c.Field == Field(identity.Username) || c.Field == Field(identity.Email) {
				return true
			}
		}
	}
	return false
}

func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return thousands(n) + " people"
}

// unseenLogins is a warning about what cannot be known of logins that the server
// hides, none if nothing is hidden that matters.
func unseenLogins(obs []Observation, f *Facts) []string {
	if f.AuthDataVisible {
		return nil
	}
	matters := slices.ContainsFunc(obs, func(o Observation) bool {
		return o.Linked != nil && o.Desired != nil && o.Desired.Active && o.Linked.Auth.Service != "" && o.Desired.Auth.Service == o.Linked.Auth.Service
	})
	if !matters {
		return nil
	}
	return []string{"this server (" + clean(f.Version) + ") does not show login data: whether accounts still have theirs cannot be seen, and what mmsync set last is taken for it"}
}
