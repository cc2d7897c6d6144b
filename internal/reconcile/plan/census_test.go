package plan_test

import (
	"strings"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// census counts what the worlds showed.
type census map[string]int

func (c census) count(p plan.Plan, whole bool) {
	if !whole {
		c["cut off"]++
	}
	for _, w := range p.Warnings {
		if strings.Contains(w, "under new ids") {
			c["reborn"]++
		} else {
			c["warning"]++
		}
	}
	for _, d := range p.Decisions {
		if d.Reason == plan.HandOver && d.Held == plan.Create {
			c["known"]++
		}
		for i, op := range d.Ops {
			c[string(op.Kind)]++
			if op.ByDelete {
				c["by_delete"]++
			}
			switch {
			case op.Kind == plan.Demote && d.Action == plan.Create:
				c["created guest"]++
			case op.Kind == plan.Demote && i > 0 && d.Ops[i-1].Kind == plan.SetRoles:
				c["bared guest"]++
			}
			if i > 0 && d.Ops[i-1].Kind == plan.SetAuth {
				switch op.Kind {
				case plan.RevokeSessions:
					c["revoked"]++
				case plan.PatchProfile:
					c["late patch"]++
				}
			}
		}
		c[string(d.Action)]++
		c[string(d.Reason)]++
		if d.Chain != 0 {
			c["chain"]++
		}
		if len(d.Ops) > 0 && d.Ops[0].Parks {
			c["parked"]++
		}
		for _, n := range d.Notes {
			c[string(n.Reason)]++
		}
	}
}

// shown is what must happen in some world: a test of made-up worlds is worth what
// happens in them.
func shown() []string {
	return []string{
		"forget", "deactivate", "adopt", "update", "reactivate", "create", "parked", "chain", "cut off",
		"same_intent", "same_auth_data", "drifted", "username_taken", "email_taken", "auth_data_taken", "contested",
		"waits_for_other", "match_needs_approval", "protected", "last_admin", "needs_approval", "deactivated_by_other",
		"locked_by_login_service", "locked_by_ldap", "locked_by_email_verification", "auth_not_changed", "account_missing",
		"call_in_flight", "server_set_back", "recreated", "account_unseen", "late", "set_auth", "revoked", "late patch", "disable_token", "by_delete", "warning",
		"no_seats", "join_team", "leave_team", "set_team_roles", "join_channel", "leave_channel", "set_channel_roles",
		"left_by_themselves", "space_missing", "space_group_constrained", "team_full", "team_email", "reborn", "known", "on_hold", "operator_off", "kept_off", "entry_fault", "name_reserved", "hand_over", "in_grace", "unconfirmed", "read_incomplete",
		"demote", "promote", "guests_off", "guests_unlicensed", "guest_mixed", "guest_has_no_roles", "role_unlicensed", "created guest", "bared guest",
		"contributes", "handed_over", "shared value", "another's value", "another's value of before", "left by all", "contested by another", "lent",
	}
}
