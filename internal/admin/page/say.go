package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// mostReason is how many characters a reason may have.
const mostReason = 500

type heldView struct {
	Sums  sums
	Base  *state.Run
	Later int
	More  bool
	// Say are the runs that hold something for a word, the newest first.
	Say []*sayView
	// Rest is what waits for somebody or something else.
	Rest []holdView
	Page paging
	// Said is what was said a moment ago.
	Said  *state.Verdict
	Fault string
}

// sayView is what one run holds for a word, with the form to say it.
type sayView struct {
	Run   state.Run
	Items []holdView
	// Total is how many there are, Open how many of them nobody has spoken about; the
	// Items are those from First, counted from 1.
	Total, Open, First int
	CanSay             bool
	Reason             string // as it was written, if it has to be corrected
	Most               int
}

// Last is the number of the last of the Items.
func (v *sayView) Last() int { return v.First + len(v.Items) - 1 }

// holdView is one person of whom something is held.
type holdView struct {
	plan.Decision
	What     string
	Ops      []opView
	Sentence string
	Next     string
	Waits    string
	Verdict  *state.Verdict
	Command  string
}

func viewOf(h *held) holdView {
	x := h.Reason.Explain()
	v := holdView{Decision: h.Decision, Sentence: x.Sentence, Next: x.Next, Verdict: h.verdict, What: string(h.Action)}
	if h.Action == plan.Hold && h.Held != "" {
		v.What = string(h.Held)
	}
	for _, op := range h.Withheld {
		v.Ops = append(v.Ops, opViewOf(op))
	}
	switch {
	case h.Until != nil && x.Ender == plan.EndWait:
		v.Waits = "until " + when(*h.Until)
	case x.Ender == plan.EndWait:
		v.Waits = "time, or a later run"
	case x.Ender == plan.EndSource:
		v.Waits = "whoever keeps the source"
	case x.Ender == plan.EndOperator:
		v.Waits = "an administrator"
	}
	return v
}

func viewsOf(list []held) []holdView {
	out := make([]holdView, len(list))
	for i := range list {
		out[i] = viewOf(&list[i])
	}
	return out
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

// newSay makes the form of one run, with a page of what it holds.
func newSay(s *session, run state.Run, items []held, page paging) *sayView {
	v := &sayView{Run: run, Total: len(items), First: (page.Number-1)*mostRows + 1, CanSay: s != nil && s.Approve, Most: mostReason}
	for i := range items {
		if items[i].verdict == nil && items[i].Reason != plan.Rejected {
			v.Open++
		}
	}
	v.Items = viewsOf(onPage(page, items))
	return v
}

// said adds to what is held what was said about it already.
func (p *Page) said(ctx context.Context, items []held) error {
	st := standing{holds: items}
	return p.current.verdicts(ctx, p.o.Reader, &st)
}

func (p *Page) held(w http.ResponseWriter, r *http.Request) {
	p.showHeld(w, r, http.StatusOK, "", nil)
}

// showHeld shows what is held; back is a form that has to be corrected.
func (p *Page) showHeld(w http.ResponseWriter, r *http.Request, status int, fault string, back *reconcile.Say) {
	ctx, s := r.Context(), p.session(r)
	st, err := p.standing(ctx)
	if err != nil {
		p.broken(w, r, "show what is held", err)
		return
	}
	v := heldView{Sums: st.sums(), Later: st.later, More: st.more, Fault: fault}
	if st.base != nil {
		v.Base = &forAnybody(s, []state.Run{*st.base})[0]
	}
	if s != nil {
		v.fill(r, s, &st, back)
		if id := r.URL.Query().Get("said"); id != "" {
			list, err := p.o.Reader.Verdicts(ctx, state.VerdictFilter{ID: id})
			if err != nil {
				p.broken(w, r, "look for an approval", err)
				return
			}
			if len(list) == 1 {
				v.Said = &list[0]
			}
		}
	}
	p.show(w, r, status, "held", "Held", v)
}

func (v *heldView) fill(r *http.Request, s *session, st *standing, back *reconcile.Say) {
	byRun := map[string][]held{}
	var runs []state.Run
	var rest []held
	for i := range st.holds {
		h := st.holds[i]
		switch _, _, asks := questionOf(&h.Decision); {
		case h.waitsForWord():
			if byRun[h.run.ID] == nil {
				runs = append(runs, h.run)
			}
			byRun[h.run.ID] = append(byRun[h.run.ID], h)
		case !asks: // those have a page of their own
			rest = append(rest, h)
		}
	}
	most := len(rest)
	for _, list := range byRun {
		most = max(most, len(list))
	}
	v.Page = pageOf(r, most)
	v.Rest = viewsOf(onPage(v.Page, rest))
	slices.SortFunc(runs, func(a, b state.Run) int { return b.RequestedAt.Compare(a.RequestedAt) })
	for _, run := range runs {
		one := newSay(s, run, byRun[run.ID], v.Page)
		if back != nil && back.Run == run.ID {
			one.Reason = back.Reason
		}
		if len(one.Items) > 0 {
			v.Say = append(v.Say, one)
		}
	}
}

// say keeps what an approver says, through the function of mmsync approve and reject.
func (p *Page) say(w http.ResponseWriter, r *http.Request) {
	s := p.session(r)
	if s == nil {
		p.showLogin(w, r, http.StatusUnauthorized, "/held", "Your login is over. Log in, and say it again.")
		return
	}
	if !p.formOf(w, r, s) {
		return
	}
	if !s.Approve {
		p.fail(w, r, http.StatusForbidden, "You may look, but not approve: admin.login.oidc.approvers does not name you.")
		return
	}
	word, fault := wordOf(r)
	word.By, word.Trigger = s.Name+fromPage, "page"
	if fault != "" {
		p.showHeld(w, r, http.StatusBadRequest, fault, &word)
		return
	}
	v, err := p.o.Approver.Say(r.Context(), word)
	p.current.forget()
	switch {
	case errors.Is(err, reconcile.ErrRefused):
		p.showHeld(w, r, http.StatusConflict, err.Error(), &word)
		return
	case err != nil:
		p.broken(w, r, "keep what was said", err)
		return
	}
	http.Redirect(w, r, "/held?said="+v.ID, http.StatusSeeOther)
}

// wordOf reads what the form says; fault is what has to be corrected.
func wordOf(r *http.Request) (s reconcile.Say, fault string) {
	f := r.PostForm
	s = reconcile.Say{Run: f.Get("run"), Reason: strings.Join(strings.Fields(f.Get("reason")), " ")}
	verb, all := strings.CutSuffix(f.Get("do"), "-all")
	s.Approves = verb == "approve"
	switch {
	case verb != "approve" && verb != "reject" || s.Run == "":
		return s, "The form was not complete. Load the page again."
	case s.Reason == "":
		return s, "Say why: the reason is kept in the history. Nothing was approved or rejected."
	case utf8.RuneCountInString(s.Reason) > mostReason || !utf8.ValidString(s.Reason):
		return s, fmt.Sprintf("The reason is too long: at most %d characters.", mostReason)
	case all:
		return s, ""
	case len(f["person"]) == 0:
		return s, "Nobody is selected. Tick those whom it is about, or take the button for all. Nothing was approved or rejected."
	}
	for _, picked := range f["person"] {
		key, err := url.QueryUnescape(picked)
		if _, ok := identity.ParseKey(key); err != nil || !ok {
			return s, "The form was not complete. Load the page again."
		}
		s.People = append(s.People, key)
	}
	return s, ""
}

type conflictsView struct {
	Sums  sums
	Base  *state.Run
	Later int
	More  bool
	Items []holdView
	Page  paging
}

func (p *Page) conflicts(w http.ResponseWriter, r *http.Request) {
	s := p.session(r)
	st, err := p.standing(r.Context())
	if err != nil {
		p.broken(w, r, "list conflicts", err)
		return
	}
	v := conflictsView{Sums: st.sums(), Later: st.later, More: st.more}
	if st.base != nil {
		v.Base = &forAnybody(s, []state.Run{*st.base})[0]
	}
	var list []held
	for i := range st.holds {
		if _, _, asks := questionOf(&st.holds[i].Decision); asks && s != nil {
			list = append(list, st.holds[i])
		}
	}
	v.Page = pageOf(r, len(list))
	for _, h := range onPage(v.Page, list) {
		reason, detail, _ := questionOf(&h.Decision)
		one, x := viewOf(&h), reason.Explain()
		one.Decision.Reason, one.Decision.Detail, one.Sentence, one.Next = reason, detail, x.Sentence, x.Next
		if reason == plan.MatchNeedsWord || reason == plan.MatchPrivileged {
			one.Command = plan.Command("link approve", h.Key.String())
		}
		v.Items = append(v.Items, one)
	}
	p.show(w, r, http.StatusOK, "conflicts", "Conflicts", v)
}
