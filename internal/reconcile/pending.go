package reconcile

import (
	"slices"
	"sync"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// pending is what passed the guards and is not done yet. Runs and pushes beside
// each other are judged by it as well: each alone may be within a limit that both
// together break. mu is held by whoever judges, from what is counted to what is
// reserved, and for reading by whoever turns what was reserved into what is counted.
type pending struct {
	mu   sync.RWMutex
	open map[*reservation]bool

	counting sync.Mutex         // of recent, beside those who hold mu for reading
	recent   map[string]*recent // by source
}

// reservation is what one plan is about to do. A nil one reserves nothing.
type reservation struct {
	mu   sync.Mutex
	left map[identity.Key][]plan.Class
}

// plan reserves what a plan does, but for what an operator approved.
func (r *reservation) plan(p *pending, of plan.Plan) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = map[identity.Key][]plan.Class{}
	for i := range of.Decisions {
		d := &of.Decisions[i]
		if d.Approval != "" {
			continue
		}
		seen := map[plan.Class]bool{}
		for op := range d.Ops {
			for _, c := range plan.Classes(d, op) {
				if !seen[c] {
					r.left[d.Key] = append(r.left[d.Key], c)
				}
				seen[c] = true
			}
		}
	}
	if p.open == nil {
		p.open = map[*reservation]bool{}
	}
	p.open[r] = true
}

// did takes out of the reservation what the journal shows of one op from now on.
func (r *reservation) did(d *plan.Decision, op int) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	classes := plan.Classes(d, op)
	r.left[d.Key] = slices.DeleteFunc(r.left[d.Key], func(c plan.Class) bool { return slices.Contains(classes, c) })
}

// done takes somebody out of the reservation about whom nothing more is done.
func (r *reservation) done(k identity.Key) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.left, k)
}

// release ends a reservation.
func (p *pending) release(r *reservation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, r)
}

// about tells whether a plan is still to do something about somebody.
func (p *pending) about(k identity.Key) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for r := range p.open {
		r.mu.Lock()
		left := len(r.left[k]) > 0
		r.mu.Unlock()
		if left {
			return true
		}
	}
	return false
}

// add counts for one source what others have reserved. p.mu is held.
func (p *pending) add(to map[plan.Class]int, source string, own *reservation) {
	for r := range p.open {
		if r == own {
			continue
		}
		r.mu.Lock()
		for k, classes := range r.left {
			if k.Source != source {
				continue
			}
			for _, c := range classes {
				to[c]++
			}
		}
		r.mu.Unlock()
	}
}
