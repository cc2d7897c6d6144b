package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// comeBack says to those who wait for what the account of a missing or departed
// person has by which command the account becomes theirs, if it is the same
// person; and holds whom the source's match key names as somebody it lacks. A
// person who comes back under another id must neither get a second account nor,
// by a value that was given to somebody else meanwhile, the first one unasked.
func (b *builder) comeBack() {
	var byKey map[identity.Key]int
	for i := range b.decisions {
		d, o := &b.decisions[i], &b.obs[i]
		if o.Desired == nil || !o.Desired.Active || o.Link != nil {
			continue
		}
		if d.Action == Create {
			if was, found := b.before(i); found {
				d.Notes = nil // said again once there is an account
				*d = d.hold(HandOver, Create, "the match key says that this is "+keyName(was.Key)+", to whom account "+quote(was.Linked.Username)+
					" ("+visible(was.Linked.ID)+") belongs; if it is: "+rekeyCommand(was.Key, o.Key)+"; if not: "+ignoreCommand(o.Key, was.Linked.ID))
			}
			continue
		}
		h := b.holderOf(i)
		if h == nil {
			continue
		}
		if byKey == nil {
			byKey = make(map[identity.Key]int, len(b.obs))
			for n := range b.obs {
				byKey[b.obs[n].Key] = n
			}
		}
		at, observed := byKey[h.Owner]
		switch {
		case observed && !b.obs[at].left():
			continue // he is there, and needs his account himself
		case !observed && h.Account.Active():
			continue // settled: nothing is to be done about him
		}
		d.Detail += "; " + advise(d.Reason, h, o)
	}
}

// advise names the commands for either answer to the question whether a new entry
// is the person whom an account belonged to.
func advise(why Reason, h *Holder, o *Observation) string {
	refused := slices.Contains(o.Refused, h.Account.ID)
	other := ""
	switch {
	case h.Account.Active() && !refused:
		other = ignoreCommand(o.Key, h.Account.ID)
	case h.Account.Active():
		return "an operator said that it is not this person's, so it is switched off when its own person's grace is over"
	case why == UsernameTaken:
		other = freeCommand(h.Account.Username)
	case why == EmailTaken:
		other = freeCommand(h.Account.Email)
	}
	switch {
	case refused && other == "":
		return "an operator said that it is not this person's"
	case refused:
		return "an operator said that it is not this person's: " + other
	}
	text := "if it is the same person under a new id: " + rekeyCommand(h.Owner, o.Key)
	if other != "" {
		text += "; if it is somebody else: " + other
	}
	return text
}

// holderOf gives the owned account that keeps a new person from getting one.
func (b *builder) holderOf(i int) *Holder {
	d, o := &b.decisions[i], &b.obs[i]
	if d.Action != Hold || d.Held != Create {
		return nil
	}
	var h *Holder
	switch d.Reason {
	case UsernameTaken:
		h = o.holder(Field(identity.Username))
	case EmailTaken:
		h = o.holder(Field(identity.Email))
	case AuthDataTaken:
		h = o.holder(FieldAuthData)
	default:
	}
	if h == nil || h.Owner.IsZero() {
		return nil
	}
	return h
}

func rekeyCommand(from, to identity.Key) string {
	return Command("link rekey", from.String(), to.String())
}

func ignoreCommand(k identity.Key, account string) string {
	return Command("link ignore", k.String(), account)
}

// freeCommand quotes the value in the way in which a plan that hides values knows it,
// unless a shell would see more in it.
func freeCommand(value string) string {
	q := quote(value)
	if strings.ContainsAny(q, "$`\\!") {
		q = "NAME"
	}
	return "mmsync link free-name " + q + " --reason …"
}

// From how many people of one source, or which share of those observed, a return
// under new ids is said as one event.
const (
	manyReborn  = 20
	shareReborn = 10 // percent
	fewReborn   = 3  // a share of less says nothing
)

// reborn sums up those of one source who are missing while an active entry of
// the same source wants their account.
type reborn struct {
	links, people int
	by            map[Field]int
}

// reimported says in one sentence for each source that its people came back under
// new ids, which each of their lines says apart.
func (b *builder) reimported() []string {
	sources := map[string]*reborn{}
	for i := range b.obs {
		o := &b.obs[i]
		if o.Link == nil || o.Link.Part == identity.Contributor {
			continue
		}
		s := sources[o.Key.Source]
		if s == nil {
			s = &reborn{by: map[Field]int{}}
			sources[o.Key.Source] = s
		}
		s.links++
		if !o.missed() {
			continue
		}
		h, found := b.heirs[o.Linked.ID]
		if !found || len(h.fields) == 0 || b.obs[h.obs].Key.Source != o.Key.Source {
			continue
		}
		s.people++
		for _, f := range h.fields {
			s.by[f]++
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if s := sources[name]; s.people > manyReborn || (s.people >= fewReborn && s.people*100 > s.links*shareReborn) {
			out = append(out, s.sentence(name))
		}
	}
	return out
}

func (s *reborn) sentence(source string) string {
	best, most := Field(""), 0
	var same []string
	for _, f := range []Field{FieldMatchKey, Field(identity.Email), Field(identity.Username)} {
		if s.by[f] > most {
			best, most = f, s.by[f]
		}
		if s.by[f] == s.people {
			same = append(same, commonName(f))
		}
	}
	text := thousands(s.people) + " people of " + clean(source) + " came back under new ids"
	switch {
	case len(same) > 0:
		text += " (same " + listed(same) + ")"
	case most > 0:
		text += " (" + thousands(most) + " of them with the same " + commonName(best) + ")"
	}
	text += "; nobody is created or deactivated because of that"
	if best == "" { // login data alone, which a bulk move does not go by
		return text + "; mend it person by person: mmsync link rekey OLD NEW --reason …"
	}
	return text + "; mend it with one command: mmsync link rekey --source " + Shell(source) + " --by " + string(best) + " --reason …"
}

func commonName(f Field) string {
	if f == FieldMatchKey {
		return "match key"
	}
	return fieldName(f)
}
