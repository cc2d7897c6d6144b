package mattermost

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// placed remembers whom this process has just put into which teams and channels: the
// server looks for that on a replica of its database, which may not have it yet, when
// the person is to join a channel of the team or to administer one of the two
// (app/channel.go, AddUserToChannel; app/team.go and app/channel.go,
// Update…MemberSchemeRoles).
type placed struct {
	mu    sync.Mutex
	since map[string]time.Time // by account and name
}

// note remembers it for as long as it may have to be waited for.
func (p *placed) note(settle time.Duration, account, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since == nil {
		p.since = map[string]time.Time{}
	}
	now := time.Now()
	for k, at := range p.since {
		if now.Sub(at) >= settle {
			delete(p.since, k)
		}
	}
	if settle > 0 {
		p.since[account+" "+name] = now
	}
}

// until is when a membership that was just made, in a space or in its team, ought to
// be seen by every replica; zero if there is none.
func (p *placed) until(settle time.Duration, account, name string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.since[account+" "+name]
	if team, channel := identity.TeamOf(name); channel {
		if at := p.since[account+" "+team]; at.After(last) {
			last = at
		}
	}
	if last.IsZero() {
		return last
	}
	return last.Add(settle)
}

// awaited makes a call again while the server does not see the membership that the call
// is about and that was just made. Nothing is sent once ctx is done.
func (p *placed) awaited(ctx context.Context, settle time.Duration, account, name string, call func() error) error {
	deadline := p.until(settle, account, name)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := call()
		left := time.Until(deadline)
		if err == nil || !notSeenYet(err) || left <= 0 || sleep(ctx, min(wait, left)) != nil {
			return err
		}
	}
}

// notSeenYet tells the answers about somebody who is in no team, has left it, or is not in
// the channel.
func notSeenYet(err error) bool {
	e, ok := asAPI(err)
	return ok && (isOut(err) || e.Status == http.StatusBadRequest && e.ID == idLeftTeam)
}
