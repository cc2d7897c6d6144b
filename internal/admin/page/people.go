package page

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
)

type peopleView struct {
	Query string
	// Sheet is nil if nothing was asked or nobody was found.
	Sheet    *explain.Sheet
	Key      identity.Key // zero if the account is not managed
	Others   []identity.Key
	Problems []string
	Fault    string
}

// mostQuery is how many characters a question may have: as many as a DN may.
const mostQuery = 1000

func (p *Page) people(w http.ResponseWriter, r *http.Request) {
	p.lookFor(w, r, strings.TrimSpace(r.URL.Query().Get("q")))
}

func (p *Page) person(w http.ResponseWriter, r *http.Request) {
	p.lookFor(w, r, r.PathValue("key"))
}

// lookFor shows what mmsync explain does. Reading everything costs the source and the
// server as much as a plan does: it is done for one question at a time.
func (p *Page) lookFor(w http.ResponseWriter, r *http.Request, query string) {
	if p.session(r) == nil {
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	v := peopleView{}
	if explain.Printable(query) == query { // else the box itself would carry out what is asked for
		v.Query = query
	}
	switch {
	case query == "":
		p.show(w, r, http.StatusOK, "people", "People", v)
		return
	case len(query) > mostQuery:
		v.Fault = "That is too long to be anybody's name or id."
		p.show(w, r, http.StatusBadRequest, "people", "People", v)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), explainTimeout)
	defer cancel()
	x, err := p.explain(ctx, query)
	status := http.StatusOK
	var nobody reconcile.UnknownPersonError
	switch {
	case err == nil:
		sheet := explain.New(x)
		v.Sheet, v.Key, v.Others, v.Problems = &sheet, x.Key, x.Others, x.Report.Problems
		if x.Unmanaged {
			v.Key = identity.Key{}
		}
	case errors.As(err, &nobody) && nobody.Deleted != "":
		status, v.Fault = http.StatusNotFound, "Nobody is known by that any more: "+nobody.Deleted+"."
	case errors.As(err, &nobody):
		status, v.Fault = http.StatusNotFound, "Nobody is known by that: not in a source, not linked, no account of the server. Give a username, an e-mail, a DN, an anchor, source/anchor or an account id."
	case errors.Is(err, reconcile.ErrRefused):
		status, v.Fault = http.StatusConflict, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		status, v.Fault = http.StatusServiceUnavailable, "Reading everything takes longer than this page waits, or others are asking. Try again, or run mmsync explain, which waits as long as it takes."
	default:
		p.log.ErrorContext(r.Context(), "a person could not be explained", "error", err)
		status, v.Fault = http.StatusBadGateway, "A source or Mattermost could not be read; the log of mmsync says why, and mmsync doctor how to mend it."
	}
	p.show(w, r, status, "people", "People", v)
}

func (p *Page) explain(ctx context.Context, query string) (explain.Person, error) {
	select {
	case p.looking <- struct{}{}:
		defer func() { <-p.looking }()
	case <-ctx.Done():
		return explain.Person{}, context.Cause(ctx)
	}
	x, err := p.o.Explainer.Explain(ctx, query)
	if err != nil && ctx.Err() != nil {
		return x, context.Cause(ctx)
	}
	return x, err
}
