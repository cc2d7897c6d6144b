package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// roster is the little that is known of every link before anything is read: of
// a hundred thousand, all but a few are as they were, and need no more than this.
// Links are loaded only for people about whom something has to be decided.
type roster struct {
	heads   []head // by source and anchor
	sources []string
	// ends is where the heads of each source end: sources are read side by side, and
	// each looks at its own heads alone.
	ends   []int
	places maphash.Seed
	// directory finds people by their places; nil if nobody is looked for.
	directory *directory
}

// head is one link. Its strings and numbers are all that a run holds of somebody
// for whom nothing has changed.
type head struct {
	anchor  string
	account string
	settled state.Digest // zero: has to be decided
	place   uint64       // hash of the last place in the source
	named   uint64       // hash of the same without regard to how it is spelled; 0: none
	written int64        // microseconds; 0 = never
	source  uint16       // index into roster.sources
	owner   bool
	active  bool // as far as is known
	seen    bool // there is a stored observation to compare with
	recheck bool // a leaving or a removal of roles has yet to prove that it lasts
	whole   bool // asked for without since in this pass
	present bool // the source has it
}

func (e *Engine) readRoster(ctx context.Context) (*roster, error) {
	r := &roster{places: maphash.MakeSeed()}
	met := map[string]uint16{} // sources in the order in which they came
	err := e.o.Store.Heads(ctx, func(h state.LinkHead) error {
		at, known := met[h.Key.Source]
		if !known {
			at = uint16(len(met)) //nolint:gosec // sources are a handful
			met[h.Key.Source] = at
		}
		one := head{
			anchor: h.Key.Anchor, account: h.AccountID, settled: h.Settled, place: r.place(h.Ref), source: at,
			owner: h.Part != identity.Contributor, active: h.Active, seen: h.Observed, recheck: !h.Recheck.IsZero(),
		}
		one.named = e.spot(r, h.Key.Source, h.Ref)
		if !h.Written.IsZero() {
			one.written = h.Written.UnixMicro()
		}
		r.heads = append(r.heads, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the heads of all links: %w", err)
	}
	r.dropOrphans()
	r.sort(met)
	return r, nil
}

// dropOrphans forgets contributors of accounts that nobody owns any more, because they
// were made anew or are gone: they are met like people without a link.
func (r *roster) dropOrphans() {
	owned, contributors := r.shared()
	if len(contributors) == 0 {
		return
	}
	for account := range owned {
		owned[account] = false
	}
	for i := range r.heads {
		if h := &r.heads[i]; h.owner {
			if _, shared := owned[h.account]; shared {
				owned[h.account] = true
			}
		}
	}
	r.heads = slices.DeleteFunc(r.heads, func(h head) bool { return !h.owner && !owned[h.account] })
}

// sort puts the heads in the order of their Keys.
func (r *roster) sort(met map[string]uint16) {
	r.sources = slices.Sorted(maps.Keys(met))
	order := make([]uint16, len(met))
	for to, name := range r.sources {
		order[met[name]] = uint16(to) //nolint:gosec // sources are a handful
	}
	for i := range r.heads {
		r.heads[i].source = order[r.heads[i].source]
	}
	slices.SortFunc(r.heads, func(a, b head) int {
		if c := cmp.Compare(a.source, b.source); c != 0 {
			return c
		}
		return strings.Compare(a.anchor, b.anchor)
	})
	r.ends = make([]int, len(r.sources))
	for i := range r.heads {
		r.ends[r.heads[i].source] = i + 1
	}
	for at := 1; at < len(r.ends); at++ { // of a source all heads may have been dropped
		r.ends[at] = max(r.ends[at], r.ends[at-1])
	}
}

func (r *roster) place(ref string) uint64 {
	return maphash.String(r.places, strings.ToLower(ref))
}

func (r *roster) key(i int) identity.Key {
	return identity.Key{Source: r.sources[r.heads[i].source], Anchor: r.heads[i].anchor}
}

// segment gives where the links of one source begin and end.
func (r *roster) segment(source string) (from, to int) {
	at := slices.Index(r.sources, source)
	if at < 0 {
		return 0, 0
	}
	if at > 0 {
		from = r.ends[at-1]
	}
	return from, r.ends[at]
}

// find gives the head of a Key's link; negative if it has none.
func (r *roster) find(k identity.Key) int {
	from, to := r.segment(k.Source)
	i, found := slices.BinarySearchFunc(r.heads[from:to], k.Anchor, func(h head, a string) int { return strings.Compare(h.anchor, a) })
	if !found {
		return -1
	}
	return from + i
}

// settledAs gives under what digest nothing was to be done for somebody.
func (r *roster) settledAs(k identity.Key) state.Digest {
	if at := r.find(k); at >= 0 {
		return r.heads[at].settled
	}
	return state.Digest{}
}

// unsettle makes everybody be decided anew.
func (r *roster) unsettle() {
	for i := range r.heads {
		r.heads[i].settled = state.Digest{}
	}
}

// lastWritten gives the n accounts that mmsync wrote to last: a server that was
// set back to an earlier state betrays itself by them.
func (r *roster) lastWritten(n int) []int {
	var order []int
	for i := range r.heads {
		if h := &r.heads[i]; h.owner && h.written != 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		if c := cmp.Compare(r.heads[b].written, r.heads[a].written); c != 0 {
			return c
		}
		return strings.Compare(r.heads[a].account, r.heads[b].account)
	})
	return order[:min(n, len(order))]
}

// rules digests everything besides the person and the account that a decision
// depends on. Seats and protected accounts are not among it: they speak only
// where something is to be done.
func (e *Engine) rules(f plan.Facts) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s|%s|%+v|%s|%t|%t|%t|%t|%t|%t|%t|%v|%+v|%s|%v|%v|%q|%q%s", e.o.Version, e.o.PolicyDigest, e.o.Policy,
		f.Version, f.AuthDataVisible, f.LDAPLocked, f.EmailVerification, f.GuestsOff, f.PictureOfLDAP, f.PictureOfSAML, f.NoPictures, f.Locks, f.Licence, f.CustomOff, f.CustomFields, f.CustomPeople, f.Domains, f.GuestDomains, spaceRules(f.Spaces)))
}

// digest names what somebody is to be like, under the rules in force. Zero if
// that cannot be named.
func digest(rules [32]byte, hash string) state.Digest {
	if hash == "" {
		return state.Digest{}
	}
	buf := make([]byte, 0, 128)
	buf = append(buf, rules[:]...)
	buf = binary.AppendUvarint(buf, uint64(len(hash)))
	sum := sha256.Sum256(append(buf, hash...))
	return state.Digest(sum[:16])
}

// nobody stands for the hash of a person whom the source lacks. No hash of an
// identity looks like it.
const nobody = "absent"

// load reads the links of the given heads and attaches the accounts they were
// seen with, or are taken to be unchanged as.
func (e *Engine) load(ctx context.Context, g *gathered, v *view, which []int) error {
	which = slices.DeleteFunc(slices.Clone(which), func(i int) bool { return g.links[g.roster.key(i)] != nil })
	if len(which) == 0 {
		return nil
	}
	var filter state.LinkFilter
	if all := len(which) > len(g.roster.heads)/2; !all {
		for _, i := range which {
			filter.Keys = append(filter.Keys, g.roster.key(i))
		}
	}
	links, err := e.o.Store.Links(ctx, filter)
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	for i := range links {
		k := &links[i]
		at := g.roster.find(k.Key)
		if at < 0 || g.links[k.Key] != nil {
			continue // made since; only this process writes links, but it need not be trusted here
		}
		g.links[k.Key] = k
		if h := &g.roster.heads[at]; h.owner && !h.whole && v.byID[k.AccountID] == nil {
			v.byID[k.AccountID] = k.Observed
		}
	}
	return nil
}

// sortedLinks gives the loaded links by Key.
func (g *gathered) sortedLinks() []*identity.Link {
	out := make([]*identity.Link, 0, len(g.links))
	for _, k := range g.links {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *identity.Link) int { return a.Key.Compare(b.Key) })
	return out
}

// since tells whether an account need not be asked for whole: it was seen, not
// written to since the last pass, and proves nothing about leavers.
func (h *head) unwritten(mark state.Mark) bool {
	return mark.Value > 0 && h.seen && !h.recheck && time.UnixMicro(h.written).Before(mark.ServerDate)
}
