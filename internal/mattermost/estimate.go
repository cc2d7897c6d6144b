package mattermost

import (
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// pace is how many requests of a kind a server does in a second: asked by one
// client after another, and at most. Measured on 11.6 with two cores shared by
// server, database and client; more than four at a time added only waiting.
type pace struct{ alone, most float64 }

// rate is what so many clients at a time get.
func (p pace) rate(clients int) float64 { return min(float64(clients)*p.alone, p.most) }

func paceOfReads() pace { return pace{1090, 2806} }

// paceOf is that of an op's own call. Roles and sessions were not measured and
// are taken for patches.
func paceOf(op plan.Op) pace {
	to, _ := op.To(plan.FieldActive)
	service, _ := op.To(plan.FieldAuthService)
	switch {
	case op.Kind == plan.CreateAccount && service == "", op.Kind == plan.SetPassword: // hashing the password
		return pace{8.3, 15.9}
	case op.Kind == plan.CreateAccount:
		return pace{194, 410}
	case op.Kind == plan.SetAuth:
		return pace{451, 1004}
	case op.Kind == plan.SetActive && to == "true":
		return pace{238, 517}
	case op.Kind == plan.SetActive:
		return pace{143, 336}
	}
	return pace{273, 495}
}

// lookAgainAfter is the age from which a plan's accounts are looked at again before a
// patch; before all that decides about access they always are.
const lookAgainAfter = time.Minute

// Estimate is how long carrying out a plan takes, not rounded: for each op the
// look before it, the call and the reading back, at the rate in force and with as
// many requests at a time as the client makes, phase after phase, each as slow as
// the rate or the server makes it. It begins with an empty bucket, whose reserved
// third has to fill first. Waiting for a server that does not show a write yet,
// for a 429 to pass, and mails are not in it.
func (t *Target) Estimate(p plan.Plan) time.Duration {
	d := t.estimate(p, false)
	if d > lookAgainAfter {
		d = t.estimate(p, true)
	}
	return d
}

func (t *Target) estimate(p plan.Plan, lookAtAll bool) time.Duration {
	perSecond, burst := t.c.limit.inForce()
	total, requests := 0.0, 0
	units := p.Units()
	for start := 0; start < len(units); {
		end, asked := start, 0
		for end < len(units) && units[end].Phase == units[start].Phase {
			end++
		}
		busy := 0.0 // seconds that the server needs
		clients := min(cap(t.c.slots), end-start)
		for _, u := range units[start:end] {
			for _, s := range u.Steps {
				op := p.Decisions[s.Decision].Ops[s.Op]
				calls, reads := t.requests(op, lookAtAll)
				asked += calls + reads
				busy += float64(calls)/paceOf(op).rate(clients) + float64(reads)/paceOfReads().rate(clients)
			}
		}
		total += max(float64(asked)/perSecond, busy)
		requests += asked
		start = end
	}
	if requests > 0 {
		total += reserved(burst) / perSecond
	}
	return time.Duration(total * float64(time.Second))
}

// requests counts what an op makes besides its one call, if it is one.
func (t *Target) requests(op plan.Op, lookAtAll bool) (calls, reads int) {
	read := 1
	if !t.c.Version().AtLeast(11, 0) {
		read = 2 // by id, then by name
	}
	switch op.Kind {
	case plan.LinkAccount, plan.UnlinkAccount, plan.NotePicture:
		return 0, 0
	case plan.CreateAccount:
		return 1, 0
	case plan.PatchProfile:
		if lookAtAll {
			return 1, read
		}
		return 1, 0
	case plan.SetAuth:
		service, _ := op.To(plan.FieldAuthService)
		data, _ := op.To(plan.FieldAuthData)
		if service == "" || data == "" { // the rest is taken from the account
			return 1, 3 * read
		}
	case plan.JoinTeam, plan.JoinChannel, plan.MakeTeam:
		return 1, 0
	case plan.MakeChannel:
		return 1, 1
	case plan.LeaveTeam, plan.LeaveChannel, plan.SetTeamRoles, plan.SetChannelRoles:
		return 1, 2
	case plan.MailReset:
		return 1, 2 * read
	case plan.SetActive, plan.SetRoles, plan.Promote, plan.Demote, plan.SetPassword, plan.DeleteAccount, plan.RevokeSessions, plan.DisableToken, plan.DisableBot, plan.SetPicture, plan.SetCustom:
	}
	if op.ByDelete || op.Kind == plan.DeleteAccount {
		return 1, 2*read + 1 // and whose the token is
	}
	return 1, 2 * read
}
