package plan

import "github.com/mmsync/mmsync/internal/identity"

// gone tells that the account of an active person was removed from the server,
// and that the operator wants such accounts created anew. Until its end a plan
// treats the Key as one that never had an account.
func (o *Observation) gone(p Policy) bool {
	return p.RecreateGone && o.Link != nil && o.Link.Part != identity.Contributor && o.Linked == nil && !o.Unseen &&
		o.Desired != nil && o.Desired.Active && o.Desired.Fault == ""
}

// fresh tells that the Key is about to get an account, or to meet one.
func (o *Observation) fresh(p Policy) bool { return o.Link == nil || o.gone(p) }

// recreate turns what was decided about a gone account as if it had never been
// into what is done: the old link goes, then the account is made. Anything but a
// creation is a question, for the link says that the person had another account.
func recreate(d Decision, o *Observation) Decision {
	detail := goneDetail(o)
	switch {
	case d.Action == Create:
		d.Reason, d.Detail = Recreated, d.Detail+"; "+detail
		d.Ops = append([]Op{{Kind: UnlinkAccount}}, d.Ops...)
		return d
	case d.Reason == CallInFlight || d.Reason == ServerSetBack || d.Reason == Rejected || d.Reason == KeptOff:
		return d
	case d.Reason == OnHold || d.Reason == NotNow:
		if d.Held == Create {
			d.Withheld = append([]Op{{Kind: UnlinkAccount}}, d.Withheld...)
		}
		return d
	case d.Action == Adopt:
		detail += "; account " + quote(d.Username) + " (" + visible(d.AccountID) + ") looks like its successor: " + d.Detail
	case d.Action == Hold:
		detail += "; " + d.Detail
	default:
		detail += "; the configuration lets no account be created"
	}
	d = about(o)
	return d.hold(AccountMissing, "", detail)
}

func goneDetail(o *Observation) string {
	return "the server has no account " + visible(o.Link.AccountID) + " any more"
}
