package admin

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Status is what a look at one part found.
type Status struct {
	Part string
	OK   bool
	// Detail is one sentence about how the part is; of a part that is not well it says
	// what to do next. It is shown to whoever can ask.
	Detail string
	// Because names the part that has to be mended before this one can be looked at; ""
	// if the part itself was looked at.
	Because string
}

// Probe looks at parts that are looked at together. While one look goes on no other
// begins.
type Probe struct {
	// Parts are what Check tells about, in their order; the first is what does not answer
	// if Check does not.
	Parts []string
	// Optional parts are shown, and mmsync counts as ready without them.
	Optional []string
	// Every is the time from the beginning of one look to that of the next, if it has
	// ended by then.
	Every time.Duration
	// Within is how long a look may take. The context ends then, and a look that does not
	// heed that is told to hang.
	Within time.Duration
	// Hangs is the sentence about the first part while a look takes longer.
	Hangs string
	// Check gives the Status of each of Parts.
	Check func(ctx context.Context) []Status
}

// Part is what is known of one part.
type Part struct {
	Part    string    `json:"part"`
	OK      bool      `json:"ok"`
	Needed  bool      `json:"needed"`
	Since   time.Time `json:"since"` // since when OK is as it is
	Detail  string    `json:"detail"`
	Because string    `json:"because,omitempty"`
}

// Report is what is known of all parts.
type Report struct {
	// Ready is true if each part that is needed is well.
	Ready bool
	// Broken names the parts that are not well themselves, needed or not.
	Broken []string
	Parts  []Part
}

// Health looks at parts in the background, so that whoever asks is answered at once.
type Health struct {
	probes []*running
	now    func() time.Time
}

// running is a probe with what its last look found.
type running struct {
	Probe

	mu sync.Mutex
	// began is when the look that goes on began; zero if none does.
	began time.Time
	found map[string]Part
}

// NewHealth makes a Health of probes. Nothing is looked at before Run.
func NewHealth(probes []Probe) *Health {
	h := &Health{now: time.Now}
	at := h.now()
	for _, p := range probes {
		r := &running{Probe: p, found: map[string]Part{}}
		for _, name := range p.Parts {
			r.found[name] = Part{Part: name, Needed: !slices.Contains(p.Optional, name), Since: at, Detail: "It was not looked at yet; ask again in a few seconds."}
		}
		h.probes = append(h.probes, r)
	}
	return h
}

// Run looks until ctx ends, and returns when no look goes on any more.
func (h *Health) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, p := range h.probes {
		wg.Go(func() {
			tick := time.NewTicker(p.Every)
			defer tick.Stop()
			for ctx.Err() == nil {
				p.look(ctx, h.now)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
}

func (r *running) look(ctx context.Context, now func() time.Time) {
	r.mu.Lock()
	r.began = now()
	r.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, r.Within)
	list := r.Check(within)
	cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Time{}
	if ctx.Err() != nil { // what was found is that the program ends
		return
	}
	at := now()
	for _, s := range list {
		r.found[s.Part] = r.found[s.Part].then(s, at)
	}
}

// then is the part after a look.
func (p Part) then(s Status, at time.Time) Part {
	if p.OK != s.OK {
		p.Since = at
	}
	p.OK, p.Detail, p.Because = s.OK, s.Detail, s.Because
	return p
}

// Silent tells for how long the look has gone on that began first of those that go on; 0
// if none does.
func (h *Health) Silent() time.Duration {
	now, most := h.now(), time.Duration(0)
	for _, r := range h.probes {
		r.mu.Lock()
		if !r.began.IsZero() {
			most = max(most, now.Sub(r.began))
		}
		r.mu.Unlock()
	}
	return most
}

// Names lists all parts in the order of the report.
func (h *Health) Names() []string {
	var out []string
	for _, p := range h.probes {
		out = append(out, p.Parts...)
	}
	return out
}

// Report gives what is known now, without the parts that are left out. A look that has
// gone on for too long is known of as well.
func (h *Health) Report(leaveOut ...string) Report {
	now := h.now()
	rep := Report{Ready: true, Broken: []string{}, Parts: []Part{}}
	for _, r := range h.probes {
		for _, p := range r.report(now) {
			if slices.Contains(leaveOut, p.Part) {
				continue
			}
			p.Since = p.Since.UTC().Truncate(time.Second)
			rep.Parts = append(rep.Parts, p)
			rep.Ready = rep.Ready && (p.OK || !p.Needed)
			if !p.OK && p.Because == "" {
				rep.Broken = append(rep.Broken, p.Part)
			}
		}
	}
	return rep
}

// grace is how much longer than allowed a look may take before it is told to hang: it
// ends itself when its time is over.
const grace = 100 * time.Millisecond

func (r *running) report(now time.Time) []Part {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Part, 0, len(r.Parts))
	hangs := !r.began.IsZero() && now.Sub(r.began) > r.Within+grace
	for i, name := range r.Parts {
		p := r.found[name]
		switch {
		case hangs && i == 0:
			p = p.then(Status{Detail: fmt.Sprintf("It has not answered for %s; %s", now.Sub(r.began).Round(time.Second), r.Hangs)}, r.began)
		case hangs:
			p = p.then(Status{Detail: "It is not known while " + r.Parts[0] + " does not answer.", Because: r.Parts[0]}, r.began)
		}
		out = append(out, p)
	}
	return out
}
