package main

import (
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/reconcile"
)

// progress shows how far a run has come: on a terminal one line that is
// rewritten, elsewhere a line every ten seconds. It is silent for the first
// second, so that quick commands print nothing.
type progress struct {
	mu    sync.Mutex
	w     io.Writer // nil = silent
	tty   bool
	start time.Time
	last  time.Time
	shown int // width of the line on the terminal
	stage string
	since time.Time // when the stage began
}

func (a *app) progress() *progress {
	p := &progress{start: time.Now()}
	if !a.noProgress && !a.quiet {
		p.w, p.tty = a.stderr, isTerminal(a.stderr)
	}
	p.last = p.start
	a.bar = p
	return p
}

func (p *progress) report(r reconcile.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if r.Stage != p.stage {
		p.stage, p.since = r.Stage, now
	}
	every := 10 * time.Second
	if p.tty {
		every = 100 * time.Millisecond
	}
	if p.w == nil || now.Sub(p.start) < time.Second || now.Sub(p.last) < every {
		return
	}
	p.last = now
	line := r.Stage
	if r.Done > 0 {
		line += fmt.Sprintf(" %d", r.Done)
		if r.Total > 0 {
			line += fmt.Sprintf("/%d", r.Total)
		}
		if took := now.Sub(p.since); took > time.Second {
			rate := float64(r.Done) / took.Seconds()
			line += fmt.Sprintf(" · %.0f/s", rate)
			if r.Total > r.Done && rate > 0 {
				line += fmt.Sprintf(" · eta %s", (time.Duration(float64(r.Total-r.Done)/rate) * time.Second).Round(time.Second))
			}
		}
	}
	if !p.tty {
		fmt.Fprintf(p.w, "mmsync: %s\n", line)
		return
	}
	fmt.Fprintf(p.w, "\r%-*s", p.shown, line)
	p.shown = utf8.RuneCountInString(line)
}

// clear wipes the line, before anything else is printed.
func (p *progress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tty && p.shown > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.shown, "")
		p.shown = 0
	}
}

// aside writes to stderr beside the progress line, wiping it first.
type aside struct{ a *app }

func (w aside) Write(b []byte) (int, error) {
	w.a.bar.clear()
	return w.a.stderr.Write(b)
}
