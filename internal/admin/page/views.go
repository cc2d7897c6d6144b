package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// bounds of what one page shows.
const (
	lastRuns  = 8
	mostRuns  = 100
	mostRows  = 200
	readsBack = 7 * 24 * time.Hour
)

type overviewView struct {
	Running []state.Run
	// Leased tells whether somebody has the lease; Holder who, for those logged in.
	Leased  bool
	Holder  string
	Expires time.Time
	Sources []sourceView
	Runs    []state.Run
	Sums    sums
	Due     int
	Oldest  time.Time
	Stops   []state.Stop
	Base    *state.Run
	Later   int
	More    bool
}

type sourceView struct {
	Source
	Read      *state.Read // the last one; nil if there was none
	Complete  *state.Read // the last complete one
	Resources int
	// Linked is how many active accounts the last run found linked; negative = not known.
	Linked int
}

// forAnybody takes out of runs what may be about somebody: who asked, why, and what a
// run said of it.
func forAnybody(s *session, runs []state.Run) []state.Run {
	if s != nil {
		return runs
	}
	out := slices.Clone(runs)
	for i := range out {
		out[i].RequestedBy, out[i].Reason, out[i].Message, out[i].Options = "", "", "", ""
		out[i].Sources, out[i].Target = nil, plan.TargetSummary{}
	}
	return out
}

func (p *Page) overview(w http.ResponseWriter, r *http.Request) {
	ctx, s := r.Context(), p.session(r)
	v, err := p.overviewOf(ctx, s)
	if err != nil {
		p.broken(w, r, "show the overview", err)
		return
	}
	p.show(w, r, http.StatusOK, "overview", "Overview", v)
}

func (p *Page) overviewOf(ctx context.Context, s *session) (v overviewView, err error) {
	v.Running, err = p.o.Reader.Runs(ctx, state.RunFilter{Statuses: []state.RunStatus{state.RunRequested, state.RunPlanning, state.RunApplying}, Limit: mostRuns})
	if err != nil {
		return v, fmt.Errorf("list open runs: %w", err)
	}
	// Pushes are runs of one person each, and would fill the list.
	if v.Runs, err = p.o.Reader.Runs(ctx, state.RunFilter{Kind: "sync", Limit: lastRuns}); err != nil {
		return v, fmt.Errorf("list runs: %w", err)
	}
	v.Running, v.Runs = forAnybody(s, v.Running), forAnybody(s, v.Runs)
	l, ok, err := p.o.Reader.HeldLease(ctx, reconcile.LeaseName)
	if err != nil {
		return v, err
	}
	if v.Leased = ok; ok && s != nil {
		v.Holder, v.Expires = l.Holder, l.Expires
	}
	if v.Due, v.Oldest, err = p.o.Reader.CountDue(ctx); err != nil {
		return v, fmt.Errorf("count who is due: %w", err)
	}
	if v.Stops, err = p.stops(ctx, s); err != nil {
		return v, err
	}
	st, err := p.standing(ctx)
	if err != nil {
		return v, err
	}
	v.Sums, v.Base, v.Later, v.More = st.sums(), st.base, st.later, st.more
	if v.Base != nil {
		v.Base = &forAnybody(s, []state.Run{*v.Base})[0]
	}
	for _, src := range p.o.Sources {
		one, err := p.sourceOf(ctx, s, src, st.base)
		if err != nil {
			return v, err
		}
		v.Sources = append(v.Sources, one)
	}
	return v, nil
}

// stops gives what is on hold; for those who are not logged in only that it is.
func (p *Page) stops(ctx context.Context, s *session) ([]state.Stop, error) {
	list, err := p.o.Reader.Stops(ctx, state.StopFilter{Kind: state.StopHold, Open: true})
	if err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	now, err := p.o.Reader.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	var out []state.Stop
	for _, stop := range list {
		switch {
		case stop.Expired(now) || stop.Key.Anchor != "":
		case s == nil:
			out = append(out, state.Stop{Key: stop.Key, MadeAt: stop.MadeAt, Expires: stop.Expires})
		default:
			out = append(out, stop)
		}
	}
	return out, nil
}

func (p *Page) sourceOf(ctx context.Context, s *session, src Source, base *state.Run) (sourceView, error) {
	v := sourceView{Source: src, Linked: -1}
	if base != nil {
		for i := range base.Sources {
			if base.Sources[i].Name == src.Name {
				v.Linked = base.Sources[i].Linked
			}
		}
	}
	var err error
	if src.Pushed {
		if v.Resources, err = p.o.Reader.CountResources(ctx, state.ResourceFilter{Source: src.Name, Type: "User"}); err != nil {
			return v, fmt.Errorf("count what was pushed into source %s: %w", src.Name, err)
		}
		return v, nil
	}
	reads, err := p.o.Reader.Reads(ctx, src.Name, time.Now().Add(-readsBack))
	if err != nil {
		return v, fmt.Errorf("list the readings of source %s: %w", src.Name, err)
	}
	for i := range reads {
		if s == nil {
			reads[i].Doubt = ""
		}
		if v.Read == nil {
			v.Read = &reads[i]
		}
		if reads[i].Complete {
			v.Complete = &reads[i]
			break
		}
	}
	return v, nil
}

type runsView struct {
	Runs []state.Run
	// Show is which are listed, of Tabs.
	Show string
	Tabs []runsTab
	// Older is the id of the last one shown if there are more, Later tells that these are
	// not the newest.
	Older string
	Later bool
}

// runsTab is one choice of runs.
type runsTab struct{ Show, Name string }

// runsTabs keep pushes, which are runs of one person each, from crowding out the others.
func runsTabs() []runsTab {
	return []runsTab{{"", "Runs"}, {"failed", "Not ended well"}, {"pushes", "Pushes"}, {"failed-pushes", "Pushes not ended well"}}
}

func (p *Page) runs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := runsView{Show: q.Get("show"), Tabs: runsTabs(), Later: q.Get("before") != ""}
	f := state.RunFilter{Limit: mostRuns + 1, Before: q.Get("before"), NotKind: reconcile.KindPush}
	switch v.Show {
	case "failed":
	case "pushes", "failed-pushes":
		f.Kind, f.NotKind = reconcile.KindPush, ""
	default:
		v.Show = ""
	}
	if strings.HasPrefix(v.Show, "failed") {
		f.Statuses = []state.RunStatus{state.RunFailed, state.RunPartial, state.RunWithheld, state.RunInterrupted}
	}
	list, err := p.o.Reader.Runs(r.Context(), f)
	switch {
	case errors.Is(err, state.ErrInvalid):
		p.fail(w, r, http.StatusBadRequest, "There is no such run to go on from. The list of runs begins with the newest.")
		return
	case err != nil:
		p.broken(w, r, "list runs", err)
		return
	}
	if len(list) > mostRuns {
		list = list[:mostRuns]
		v.Older = list[mostRuns-1].ID
	}
	v.Runs = forAnybody(p.session(r), list)
	p.show(w, r, http.StatusOK, "runs", "Runs", v)
}

// paging is which part of long lists a page shows.
type paging struct {
	// Total is how many there are in the longest list; Number is the page shown, of Pages.
	Total, Number, Pages int
}

// pageOf reads which page of lists, of which the longest has total rows, is asked for.
func pageOf(r *http.Request, total int) paging {
	p := paging{Total: total, Pages: max(1, (total+mostRows-1)/mostRows)}
	n, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil {
		n = 1
	}
	p.Number = min(max(n, 1), p.Pages)
	return p
}

// onPage gives the rows of a list that are on the page.
func onPage[T any](p paging, list []T) []T {
	from := min((p.Number-1)*mostRows, len(list))
	return list[from:min(from+mostRows, len(list))]
}

type runView struct {
	Run     state.Run
	Rows    []rowView
	Counted []countView
	Page    paging
	Say     *sayView
}

type countView struct {
	Action plan.Action
	N      int
}

// rowView is one decision and what became of it.
type rowView struct {
	plan.Decision
	Ops      []opView
	Sentence string
	Next     string
}

type opView struct {
	What    string
	Changes []plan.Change
	Create  bool
	Status  state.OpStatus
	Error   string
	Closed  time.Time
}

func (p *Page) run(w http.ResponseWriter, r *http.Request) {
	ctx, s := r.Context(), p.session(r)
	list, err := p.o.Reader.Runs(ctx, state.RunFilter{ID: r.PathValue("id")})
	switch {
	case err != nil:
		p.broken(w, r, "look for a run", err)
		return
	case len(list) != 1:
		p.fail(w, r, http.StatusNotFound, "There is no such run. The list of runs has all there are.")
		return
	}
	v := runView{Run: forAnybody(s, list)[0]}
	for _, a := range plan.Actions() {
		if n := v.Run.Counts.Planned[a]; n > 0 {
			v.Counted = append(v.Counted, countView{a, n})
		}
	}
	if s != nil {
		if err := p.rows(r, s, &v); err != nil {
			p.broken(w, r, "show a run", err)
			return
		}
	}
	p.show(w, r, http.StatusOK, "run", "Run "+v.Run.ID, v)
}

// rows fills in what a run decided and did, a page of it.
func (p *Page) rows(r *http.Request, s *session, v *runView) error {
	ctx := r.Context()
	decisions, err := p.o.Reader.Decisions(ctx, v.Run.ID)
	if err != nil {
		return fmt.Errorf("read the decisions of run %s: %w", v.Run.ID, err)
	}
	ops, err := p.o.Reader.Ops(ctx, state.OpFilter{Run: v.Run.ID})
	if err != nil {
		return fmt.Errorf("read what run %s did: %w", v.Run.ID, err)
	}
	by := map[int][]opView{}
	for i := range ops {
		o := &ops[i]
		one := opViewOf(o.Op)
		one.Status, one.Error, one.Closed = o.Status, o.Error, o.ClosedAt
		by[o.Ref.Decision] = append(by[o.Ref.Decision], one)
	}
	v.Page = pageOf(r, len(decisions))
	var waiting []held
	for i := range decisions {
		d := &decisions[i]
		if h := (held{run: v.Run, Decision: d.Decision}); h.waitsForWord() && h.Reason != plan.Rejected {
			waiting = append(waiting, h)
		}
		if i/mostRows != v.Page.Number-1 {
			continue
		}
		row := rowView{Decision: d.Decision, Ops: by[d.Index], Sentence: d.Decision.Reason.Explain().Sentence}
		if d.Decision.Action == plan.Hold {
			row.Next = d.Decision.Reason.Explain().Next
		}
		if len(row.Ops) == 0 { // a plan that was kept has its ops with it
			for _, op := range d.Decision.Ops {
				row.Ops = append(row.Ops, opViewOf(op))
			}
		}
		v.Rows = append(v.Rows, row)
	}
	if len(waiting) > 0 && !v.Run.Status.Open() {
		if err := p.said(ctx, waiting); err != nil {
			return err
		}
		v.Say = newSay(s, v.Run, waiting, pageOf(r, len(waiting)))
	}
	return nil
}
