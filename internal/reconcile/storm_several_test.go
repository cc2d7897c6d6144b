package reconcile_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Several sources about one person in storms: a source of titles knows people of the
// directories by their numbers. It only adds to their accounts, has authority over
// positions, and may get the accounts of those whom the directories lose.

const titles = "titles"

// unite makes a second source know some of the people.
func (s *storm) unite() {
	if s.more.IntN(100) >= 45 {
		return
	}
	s.rules.several, s.rules.handsOver = true, s.more.IntN(2) == 0
	for _, k := range s.keys() {
		e := s.people[k]
		if e.number = k.String(); s.more.IntN(100) < 60 {
			s.titled(e)
		}
	}
	s.tell("several sources; accounts are handed over: %v", s.rules.handsOver)
}

// titled has the source of titles know somebody.
func (s *storm) titled(of *entry) {
	for _, k := range s.keys() {
		if e := s.people[k]; e.adds && e.number == of.number {
			e.listed, e.active = true, true
			return
		}
	}
	s.nextID++
	e := &entry{key: identity.Key{Source: titles, Anchor: fmt.Sprintf("a%02d", s.nextID)}, adds: true, number: of.number, listed: true, active: true, gone: identity.PresenceGone}
	e.title = "by titles " + s.name()
	s.people[e.key] = e
	s.tell("titles: knows %s as %s, %q", of.key, e.key, e.title)
}

func (s *storm) allSources() []string {
	if s.rules.several {
		return append(slices.Clone(s.rules.sources), titles)
	}
	return s.rules.sources
}

// office changes what is said besides the directories' own news.
func (s *storm) office() {
	for _, k := range s.keys() {
		e := s.people[k]
		switch what := s.more.IntN(40); {
		case e.adds && what == 0:
			e.listed = false
			e.gone = pick(s.more, identity.PresenceGone, identity.PresenceOutOfScope)
			s.seen.add("titles: gone")
		case e.adds && what == 1:
			e.active = !e.active
		case e.adds && what < 5:
			if e.title = "by titles " + s.name(); what == 4 {
				e.title = ""
			}
		case e.adds && what < 8:
			e.listed, e.active = true, true
		case e.adds:
			continue
		case what == 0 && s.rules.several:
			if e.number == "" {
				e.number = k.String()
			}
			s.titled(e)
		case what < 4 && s.rules.guests:
			e.guest = !e.guest
		case what < 9:
			s.wish(e)
		default:
			continue
		}
		s.tell("news: %s", e)
	}
}

// heard keeps what a read said of those who contribute, once its run has begun. b.mu is
// held.
func (s *storm) heard(read *reading) {
	for k, active := range read.listed {
		if active {
			s.book.word[k] = true
		} else {
			delete(s.book.word, k)
		}
	}
}

// known says which contributor still has somebody, as far as was heard; "" if none.
func (b *book) known(account string) identity.Key {
	for _, k := range b.adds[account] {
		if b.word[k] {
			return k
		}
	}
	return identity.Key{}
}

// PutLinks judges how an account changes hands.
func (l ledger) PutLinks(ctx context.Context, k state.Lease, links []identity.Link) error {
	if err := l.Store.PutLinks(ctx, k, links); err != nil {
		return err
	}
	b, s := &l.s.book, l.s
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range links {
		to := &links[i]
		was, owned := b.owner[to.AccountID]
		if to.Part != identity.Owner || !owned || was == to.Key {
			continue
		}
		e, old := s.people[to.Key], s.people[was]
		read, lost := l.run.reads[titles], l.run.reads[was.Source]
		switch {
		case e == nil || !e.adds || !s.rules.handsOver || old == nil || e.number != old.number:
			b.wrong("run %s: account %s of %s goes to %s", l.run.name, to.AccountID, was, to.Key)
		case read == nil || !read.listed[to.Key]:
			b.wrong("run %s: account %s goes to %s, which was not read with him", l.run.name, to.AccountID, to.Key)
		case lost == nil || !lost.complete || lost.shrunk || lost.present[was]:
			b.wrong("run %s: account %s is taken from %s, whom nobody knows to be gone", l.run.name, to.AccountID, was)
		}
		b.owner[to.AccountID] = to.Key
		b.adds[to.AccountID] = append(slices.DeleteFunc(b.adds[to.AccountID], func(k identity.Key) bool { return k == to.Key }), was)
		delete(b.word, was)
		s.seen.add("handed over")
		b.tell("   %s: account %s goes from %s to %s", l.run.name, to.AccountID, was, to.Key)
	}
	return nil
}

// contributes judges who is taken for somebody. book.mu is held.
func (s *storm) contributes(n *opNote, link *identity.Link) {
	b := &s.book
	e, owner := s.people[n.key], s.people[b.owner[link.AccountID]]
	if e == nil || !e.adds || owner == nil || e.number != owner.number {
		b.wrong("%s is taken for the person of account %s, which is that of %s", n.key, link.AccountID, b.owner[link.AccountID])
		return
	}
	b.adds[link.AccountID] = append(b.adds[link.AccountID], n.key)
	s.seen.add("contributes")
}

// title is the position somebody should have: that of the source with authority if it
// has him and gives one.
func (j judge) title(e *entry, u *mmsim.User) string {
	for _, k := range j.keys() {
		l, a := j.link[k], j.people[k]
		if !a.adds || a.number != e.number || !a.listed || !a.active || e.adds {
			continue
		}
		if l == nil || l.AccountID != u.ID {
			return "that of " + k.String() + ", who is not linked to " + u.ID
		}
		if j.seen.add("another's title"); a.title != "" {
			return a.title
		}
	}
	return e.title
}

// adder judges somebody of the source of titles.
func (j judge) adder(e *entry, l *identity.Link, u *mmsim.User) string {
	switch {
	case l == nil || l.Part == identity.Contributor || u == nil:
		return ""
	case !e.listed || !e.active:
		return j.leaver(e, u)
	case j.untouchable[u.ID] != "":
		return ""
	case !u.Active():
		return j.off(e, u)
	case u.Position != e.title:
		return fmt.Sprintf("position is %q", u.Position)
	}
	return ""
}

// kept tells whether a source of the account that does not own it has the person.
func (j judge) kept(u *mmsim.User) bool {
	return slices.ContainsFunc(j.keys(), func(k identity.Key) bool {
		l, e := j.link[k], j.people[k]
		return l != nil && l.Part == identity.Contributor && l.AccountID == u.ID && e.listed && e.active
	})
}

func contributing(p *plan.Policy, s *storm) {
	if !s.rules.several {
		return
	}
	p.Authority = []plan.Authority{{Attribute: identity.Position, Sources: []string{titles}}}
	p.Contributing = []plan.Contributing{{Source: titles, By: plan.FieldMatchKey, Only: true}}
	if s.rules.handsOver {
		for _, name := range s.rules.sources {
			p.HandsOver = append(p.HandsOver, plan.HandsOver{Source: name, To: []string{titles}})
		}
	}
}
