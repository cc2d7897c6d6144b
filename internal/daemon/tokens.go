package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// tokenSoon is how long before its end a token is warned about: long enough for
// somebody who has to ask somebody else.
const tokenSoon = 30 * 24 * time.Hour

// ExamineTokens tells of each source that is pushed to whether anybody can, and for how
// long.
func ExamineTokens(ctx context.Context, c *config.Config, s Store) []identity.Finding {
	var out []identity.Finding
	for i := range c.Sources {
		src := &c.Sources[i]
		if src.SCIM == nil {
			continue
		}
		list, err := s.Tokens(ctx, src.Name)
		var now time.Time
		if err == nil {
			now, err = s.Now(ctx)
		}
		f := identity.Finding{Part: "tokens of " + src.Name, Level: identity.LevelOK}
		if err != nil {
			f.Level, f.Text, f.Mend = identity.LevelFail, err.Error(), "check state.url and the rights of its user"
		} else {
			judgeTokens(&f, src.Name, list, now, src.SCIM.JWT != nil)
		}
		out = append(out, f)
	}
	return out
}

// judgeTokens warns when the last token of a source ends soon: one that a younger one
// goes along with may end as it likes.
func judgeTokens(f *identity.Finding, source string, list []state.Token, now time.Time, signed bool) {
	var last state.Token
	n := 0
	for _, t := range list {
		if !t.RevokedAt.IsZero() || !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) {
			continue
		}
		if n++; n == 1 || t.ExpiresAt.IsZero() || !last.ExpiresAt.IsZero() && t.ExpiresAt.After(last.ExpiresAt) {
			last = t
		}
	}
	switch {
	case n == 0 && signed:
		f.Text = "none; tokens that its issuer signs are taken"
	case n == 0:
		f.Level, f.Text, f.Mend = identity.LevelWarn, "there is none in force, so nobody can push", "mmsync token create --source "+source+" --name NAME"
	case !last.ExpiresAt.IsZero() && last.ExpiresAt.Sub(now) < tokenSoon && !signed:
		f.Level, f.Mend = identity.LevelWarn, "mmsync token rotate "+last.Name+" --source "+source
		f.Text = fmt.Sprintf("the last one, %s, expires on %s: nobody can push after that", last.Name, last.ExpiresAt.UTC().Format("2006-01-02"))
	case n == 1:
		f.Text = "1 in force"
	default:
		f.Text = fmt.Sprintf("%d in force", n)
	}
}
