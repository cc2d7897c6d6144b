package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Where a person is named in what is about somebody else.

// names are what somebody was known by.
type names struct{ usernames, emails, places []string }

// namesNow gives what the links of somebody know, which the history may have lost.
func (e *Engine) namesNow(ctx context.Context, keys []identity.Key) (*names, error) {
	links, err := e.o.Store.Links(ctx, state.LinkFilter{Keys: keys})
	if err != nil {
		return nil, fmt.Errorf("read the link of %s: %w", keys[0], err)
	}
	var n names
	for i := range links {
		k := &links[i]
		n.learn(audit.Personal{Ref: k.Ref, Before: audit.ImageOf(k.Observed), After: &audit.Image{Profile: k.Applied.Profile}})
	}
	return &n, nil
}

// learn adds what a row of the person holds.
func (n *names) learn(p audit.Personal) {
	n.usernames, n.places = append(n.usernames, p.Username), append(n.places, p.Ref)
	for _, c := range p.Values {
		switch c.Field {
		case plan.Field(identity.Username):
			n.usernames = append(n.usernames, c.From, c.To)
		case plan.Field(identity.Email):
			n.emails = append(n.emails, c.From, c.To)
		}
	}
	for _, i := range []*audit.Image{p.Before, p.After} {
		if i != nil {
			n.usernames, n.emails = append(n.usernames, i.Username), append(n.emails, i.Email)
		}
	}
	for _, list := range []*[]string{&n.usernames, &n.emails, &n.places} {
		slices.Sort(*list)
		*list = slices.DeleteFunc(slices.Compact(*list), func(s string) bool { return s == "" })
	}
}

// words are what names the person in sentences about others: a username in quotes, an
// e-mail, a place in the source.
func (n *names) words() []string {
	var out []string
	for _, u := range n.usernames {
		out = append(out, strconv.Quote(u))
	}
	for _, w := range slices.Concat(n.emails, n.places) {
		if strings.ContainsAny(w, "@=") { // a line of a file would be in too much
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// theirs tells whether a row of somebody else has one of the usernames or e-mails
// as that person's own.
func (n *names) theirs(p audit.Personal) bool {
	var other names
	other.learn(p)
	shared := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
	}
	return shared(n.usernames, other.usernames) || shared(n.emails, other.emails)
}

// in tells whether a text that an operator wrote holds one of the usernames as a
// word, or one of the e-mails.
func (n *names) in(text string) bool {
	of := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_@+", r)
	})
	for _, w := range of {
		w = strings.TrimRight(w, ".-")
		if slices.Contains(n.usernames, w) || slices.Contains(n.emails, w) {
			return true
		}
	}
	return false
}

// mentions gives the rows, about other people and about runs, of which a sentence
// names the person: their values can go like his. It counts those that stay: where
// somebody else has or had the same name, that is a value of that person, and what
// an operator gave as a reason is sealed in the part of a row that cannot go.
func (e *Engine) mentions(ctx context.Context, keys []identity.Key, n *names, out *Forgotten) ([]audit.Row, error) {
	words := n.words()
	var found []audit.Row
	err := e.eachRow(ctx, func(r audit.Row) error {
		body, err := audit.ReadBody(r)
		if err == nil && n.in(body.Why) {
			out.Reasons++
		}
		if err != nil || r.Personal == "" || slices.Contains(keys, r.Key) {
			return nil //nolint:nilerr // a row that somebody edited is for verify to name
		}
		p, err := audit.ReadPersonal(r)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w; mmsync audit verify says what became of the history", ErrRefused, err)
		case slices.ContainsFunc(words, func(w string) bool { return strings.Contains(p.Message, w) }):
			found = append(found, r)
		case n.theirs(p):
			out.Same++
		}
		return nil
	})
	return found, err
}

// rowsInMemory bounds how many rows of the history are read at a time.
const rowsInMemory = 20_000

// eachRow passes all rows of the history on, in order.
func (e *Engine) eachRow(ctx context.Context, each func(audit.Row) error) error {
	batches, err := e.o.Store.AuditBatches(ctx, state.BatchFilter{})
	if err != nil {
		return fmt.Errorf("list the batches of the history: %w", err)
	}
	for len(batches) > 0 {
		to, sum := 0, batches[0].Rows
		for to+1 < len(batches) && sum+batches[to+1].Rows <= rowsInMemory {
			to++
			sum += batches[to].Rows
		}
		rows, err := e.o.Store.AuditRows(ctx, state.RowFilter{FromBatch: batches[0].ID, ToBatch: batches[to].ID})
		if err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
		for i := range rows {
			if err := each(rows[i]); err != nil {
				return err
			}
		}
		batches = batches[to+1:]
	}
	return nil
}
