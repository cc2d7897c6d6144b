package page

import "github.com/mmsync/mmsync/internal/reconcile/plan"

// opViewOf says what one op does.
func opViewOf(op plan.Op) opView {
	v := opView{What: string(op.Kind), Create: op.Kind == plan.CreateAccount}
	if what := opAlone(op.Kind); what != "" {
		v.What = what
		return v
	}
	switch op.Kind {
	case plan.LinkAccount:
		v.What = "link"
	case plan.UnlinkAccount:
		v.What = "unlink"
	case plan.CreateAccount:
		v.What = "create"
	case plan.PatchProfile:
		v.What = "change"
	case plan.SetActive:
		v.What = "switch off"
		if to, _ := op.To(plan.FieldActive); to == "true" {
			v.What = "switch on"
		}
		return v
	case plan.SetRoles:
		v.What = "roles"
	case plan.SetAuth, plan.SetPassword:
		v.What = "login"
		if op.Detour != "" {
			v.What = "login, for a moment"
		}
	case plan.SetCustom:
		v.What = "set user attributes"
	case plan.DisableToken:
		v.What = "disable a token"
	case plan.DisableBot:
		v.What = "disable a bot"
	case plan.JoinTeam, plan.JoinChannel:
		v.What = "add"
	case plan.LeaveTeam, plan.LeaveChannel:
		v.What = "take out"
	case plan.SetTeamRoles, plan.SetChannelRoles:
		v.What = "team role"
	default: // opAlone's
	}
	for _, c := range op.Changes {
		if c.From != c.To || v.Create {
			v.Changes = append(v.Changes, c)
		}
	}
	return v
}

// opAlone says what an op does whose changes say no more; "" for others.
func opAlone(k plan.OpKind) string {
	switch k {
	case plan.MailReset:
		return "mail a link to set a password"
	case plan.Promote:
		return "make a full member"
	case plan.Demote:
		return "make a guest"
	case plan.RevokeSessions:
		return "end all sessions"
	case plan.SetPicture:
		return "set the picture"
	case plan.NotePicture:
		return "keep the person's own picture"
	case plan.DeleteAccount:
		return "delete for good"
	default:
		return ""
	}
}
