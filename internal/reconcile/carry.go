package reconcile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// linksFile is the first line of exported links: of which server they are. A link
// is a line.
type linksFile struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"`
	Server        string `json:"server"` // as the store is bound to it
	URL           string `json:"url"`
	Links         int    `json:"links"`
}

const linksKind = "mmsync links"

// linkLine is what is kept of a link. How its account was seen last is not: it
// is read again.
type linkLine struct {
	Source        string           `json:"source"`
	Anchor        string           `json:"anchor"`
	AccountID     string           `json:"account_id"`
	Part          identity.Part    `json:"part"`
	Origin        identity.Origin  `json:"origin"`
	Ref           string           `json:"ref"`
	Applied       identity.Applied `json:"applied"`
	DeactivatedAt int64            `json:"deactivated_at,omitempty"`
	CreatedAt     time.Time        `json:"created_at"`
	UpdatedAt     time.Time        `json:"updated_at"`
	// Forgotten says that the values are left out; an export of the links has them.
	Forgotten bool `json:"forgotten,omitempty"`
}

func (l linkLine) link() identity.Link {
	return identity.Link{
		Key: identity.Key{Source: l.Source, Anchor: l.Anchor}, AccountID: l.AccountID, Part: l.Part, Origin: l.Origin, Ref: l.Ref,
		Applied: l.Applied, DeactivatedAt: l.DeactivatedAt, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt,
	}
}

func newLinkLine(k *identity.Link) linkLine {
	return linkLine{
		Source: k.Key.Source, Anchor: k.Key.Anchor, AccountID: k.AccountID, Part: k.Part, Origin: k.Origin, Ref: k.Ref,
		Applied: k.Applied, DeactivatedAt: k.DeactivatedAt, CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt,
	}
}

// ExportLinks writes all links of a store as JSON lines, ordered by Key. The
// first line says of which server they are.
func ExportLinks(ctx context.Context, s state.Store, to io.Writer) (int, error) {
	server, err := s.Bound(ctx, "mattermost")
	if err != nil {
		return 0, fmt.Errorf("read to which server the store belongs: %w", err)
	}
	if server.ID == "" {
		return 0, fmt.Errorf("%w: this store has not met a server yet, so that its links are nobody's; the first mmsync sync ties it to one", ErrRefused)
	}
	links, err := s.Links(ctx, state.LinkFilter{})
	if err != nil {
		return 0, fmt.Errorf("read links: %w", err)
	}
	w := bufio.NewWriter(to)
	put := func(v any) error {
		line, err := state.Encode(v)
		if err == nil {
			_, err = w.WriteString(plan.EscapeJSON(line) + "\n")
		}
		return err
	}
	if err := put(linksFile{plan.FormatVersion, linksKind, server.ID, server.Note, len(links)}); err != nil {
		return 0, fmt.Errorf("write links: %w", err)
	}
	for i := range links {
		if err := put(newLinkLine(&links[i])); err != nil {
			return 0, fmt.Errorf("write links: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return 0, fmt.Errorf("write links: %w", err)
	}
	return len(links), nil
}

// readLinks reads what ExportLinks wrote. A file that was cut or edited by hand in
// a way that leaves doubt is refused as a whole.
func readLinks(from io.Reader) (linksFile, []identity.Link, error) {
	var head linksFile
	var links []identity.Link
	r := bufio.NewReader(from)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return head, nil, fmt.Errorf("read line %d: %w", n, err)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			if errors.Is(err, io.EOF) {
				break
			}
			return head, nil, fmt.Errorf("line %d is empty", n)
		}
		if n == 1 {
			if err := strictly(line, &head); err != nil || head.Kind != linksKind {
				return head, nil, errors.New("the first line does not say that these are links of mmsync")
			}
			if head.FormatVersion != plan.FormatVersion {
				return head, nil, fmt.Errorf("the file has format %q, and this mmsync reads %q", head.FormatVersion, plan.FormatVersion)
			}
			continue
		}
		var l linkLine
		if err := strictly(line, &l); err != nil {
			return head, nil, fmt.Errorf("line %d: %w", n, err)
		}
		links = append(links, l.link())
	}
	if len(links) != head.Links {
		return head, nil, fmt.Errorf("the file says that it holds %d links, and holds %d", head.Links, len(links))
	}
	return head, links, state.CheckLinks(links)
}

func strictly(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value in a line")
	}
	return nil
}

// ImportError lists everything that speaks against the links of a file; none of
// them was taken.
type ImportError struct{ Faults []string }

func (e *ImportError) Error() string {
	const most = 20
	shown := e.Faults
	if len(shown) > most {
		shown = append(slices.Clone(shown[:most]), fmt.Sprintf("… and %d more", len(e.Faults)-most))
	}
	return "nothing was imported:\n" + strings.Join(shown, "\n")
}

// Unwrap makes it a refusal.
func (e *ImportError) Unwrap() error { return ErrRefused }

// ImportLinks takes all links of a file that ExportLinks wrote, or none. The
// server has to be the one they are of, and each account on it. Links that are
// there already and the same are passed over; one that is there and different is a
// fault. So is an account with more rights than a user unless privileged, and one of
// which an operator said here that it is not that person's.
func (e *Engine) ImportLinks(ctx context.Context, o RunOptions, from io.Reader, privileged, dry bool) (Report, error) {
	head, links, err := readLinks(from)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return e.own(ctx, o, serverOnly, dry, func(ctx context.Context, w *ownership) error {
		id := w.facts.ServerID
		if w.facts.SiteURL != "" {
			id += " at " + w.facts.SiteURL
		}
		if head.Server != id {
			return fmt.Errorf("%w: the links are of server %q (%s), and this one is %q (%s)", ErrRefused, head.Server, head.URL, id, e.o.TargetURL)
		}
		accounts, err := w.accounts(ctx, links)
		if err != nil {
			return err
		}
		known, err := e.o.Store.Links(ctx, state.LinkFilter{})
		if err != nil {
			return fmt.Errorf("read links: %w", err)
		}
		if err := w.settled(ctx, links); err != nil {
			return err
		}
		refused, err := e.o.Store.RefusedMatches(ctx)
		if err != nil {
			return fmt.Errorf("list refused matches: %w", err)
		}
		if err := w.take(links, known, refused, accounts, privileged); err != nil {
			return err
		}
		var keys []identity.Key
		for i := range w.steps {
			keys = append(keys, w.steps[i].decision.Key)
		}
		return e.unheld(ctx, keys...)
	})
}

func (w *ownership) accounts(ctx context.Context, links []identity.Link) (map[string]*identity.Account, error) {
	ids := make([]string, 0, len(links))
	for i := range links {
		ids = append(ids, links[i].AccountID)
	}
	slices.Sort(ids)
	out := make(map[string]*identity.Account, len(ids))
	_, err := w.e.o.Target.Observe(ctx, slices.Compact(ids), 0, func(a identity.Account) error {
		out[a.ID] = &a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the accounts of the links: %w", err)
	}
	return out, nil
}

// take plans the links that are new, unless anything speaks against any of them.
func (w *ownership) take(links, known []identity.Link, refused []state.RefusedMatch, accounts map[string]*identity.Account, privileged bool) error {
	type match struct {
		key     identity.Key
		account string
	}
	not := make(map[match]bool, len(refused))
	for _, m := range refused {
		not[match{m.Key, m.AccountID}] = true
	}
	byKey, owners := map[identity.Key]*identity.Link{}, map[string]identity.Key{}
	for i := range known {
		k := &known[i]
		byKey[k.Key] = k
		if k.Part == identity.Owner {
			owners[k.AccountID] = k.Key
		}
	}
	var faults []string
	for i := range links {
		k := &links[i]
		a, had := accounts[k.AccountID], byKey[k.Key]
		owner := owners[k.AccountID]
		switch {
		case had != nil && had.AccountID == k.AccountID && had.Part == k.Part:
			continue
		case had != nil:
			faults = append(faults, fmt.Sprintf("%s has account %s here, and %s in the file", k.Key, had.AccountID, k.AccountID))
		case a == nil:
			faults = append(faults, fmt.Sprintf("account %s of %s is not on the server", k.AccountID, k.Key))
		case w.protected(a) != "":
			faults = append(faults, fmt.Sprintf("account %q (%s) of %s is protected: %s", a.Username, a.ID, k.Key, w.protected(a)))
		case k.Part == identity.Owner && !owner.IsZero():
			faults = append(faults, fmt.Sprintf("account %q (%s) of %s is that of %s here", a.Username, a.ID, k.Key, owner))
		case not[match{k.Key, k.AccountID}]:
			faults = append(faults, fmt.Sprintf("account %q (%s) is not that of %s, as an operator said here; if it is all the same: %s --undo",
				a.Username, a.ID, k.Key, plan.Command("link ignore", k.Key.String(), a.ID)))
		case a.Roles.Privileged() && !privileged:
			faults = append(faults, fmt.Sprintf("account %q (%s) of %s holds %s; if it is to be this person's all the same, say --privileged", a.Username, a.ID, k.Key, a.Roles))
		default:
			link := plan.Op{Kind: plan.LinkAccount}
			if k.Part == identity.Contributor {
				link.Changes = []plan.Change{{Field: plan.FieldPart, To: string(k.Part)}}
			}
			w.steps = append(w.steps, step{link: k, account: a, decision: plan.Decision{
				Key: k.Key, Ref: k.Ref, Action: plan.Adopt, Reason: plan.Approved, AccountID: a.ID, Username: a.Username,
				Detail: "imported for " + k.Key.String(), Ops: []plan.Op{link},
			}})
		}
	}
	if len(faults) > 0 {
		w.steps = nil
		return &ImportError{Faults: faults}
	}
	w.atOnce = true
	w.message = fmt.Sprintf("imported %d links, %d were there", len(w.steps), len(links)-len(w.steps))
	return nil
}
