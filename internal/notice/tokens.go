package notice

import (
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// lastRequest tells when a token of a source was used last, or, if none was, since
// when one could be.
func lastRequest(tokens []state.Token, signed bool) time.Time {
	var last, first time.Time
	for _, t := range tokens {
		if t.UsedAt.After(last) {
			last = t.UsedAt
		}
		if first.IsZero() || t.CreatedAt.Before(first) {
			first = t.CreatedAt
		}
	}
	switch {
	case signed:
		return time.Time{}
	case last.IsZero():
		return first
	}
	return last
}

// usedLately is how long after its last use a token counts as one that a provider
// still comes with.
const usedLately = 24 * time.Hour

// tokenEnds gives the tokens of a source whose end somebody would notice: the last
// one, and any that a provider still comes with.
func tokenEnds(tokens []state.Token, src WatchedSource, now time.Time) []End {
	forever := func(t state.Token) bool { return t.ExpiresAt.IsZero() }
	last := -1
	for i, t := range tokens {
		if last < 0 || forever(t) || !forever(tokens[last]) && t.ExpiresAt.After(tokens[last].ExpiresAt) {
			last = i
		}
	}
	var out []End
	for i, t := range tokens {
		inUse := now.Sub(t.UsedAt) < usedLately && now.Before(t.ExpiresAt)
		if forever(t) || !inUse && (i != last || src.Signed) {
			continue
		}
		e := End{
			Key: "token/" + t.ID, What: fmt.Sprintf("the SCIM token %s of source %s", visible(t.Name), src.Name), At: t.ExpiresAt,
			Next: "Make the one that follows it and put it into the identity provider: nobody can push when this one has ended.", Command: plan.Command("token rotate", t.Name, "--source", src.Name),
		}
		if i != last {
			e.Next, e.Command = "A provider still comes with it; put the token that follows it there.", "mmsync token list --source "+plan.Shell(src.Name)
		}
		out = append(out, e)
	}
	return out
}
