package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/reconcile"
)

func newProgress(w *bytes.Buffer, tty bool) *progress {
	return &progress{w: w, tty: tty, start: time.Now(), last: time.Now()}
}

func TestProgress_terminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, true)
		p.report(reconcile.Progress{Stage: "reading corp"})
		time.Sleep(900 * time.Millisecond)
		p.report(reconcile.Progress{Stage: "reading corp"})
		require.Empty(t, out.String(), "quick commands print nothing")

		time.Sleep(200 * time.Millisecond)
		p.report(reconcile.Progress{Stage: "applying", Done: 1, Total: 1000})
		require.Equal(t, "\rapplying 1/1000", out.String())
		out.Reset()
		time.Sleep(2 * time.Second)
		p.report(reconcile.Progress{Stage: "applying", Done: 200, Total: 1000})
		require.Equal(t, "\rapplying 200/1000 · 100/s · eta 8s", strings.TrimRight(out.String(), " "))
		out.Reset()
		time.Sleep(10 * time.Millisecond)
		p.report(reconcile.Progress{Stage: "applying", Done: 201, Total: 1000})
		require.Empty(t, out.String(), "at most ten times a second")
		time.Sleep(time.Second)
		p.report(reconcile.Progress{Stage: "observing"})
		require.Equal(t, "\robserving"+strings.Repeat(" ", len("applying 200/1000 . 100/s . eta 8s")-len("observing")), out.String(),
			"a shorter line covers the longer one")
		out.Reset()
		p.clear()
		require.Equal(t, "\r         \r", out.String())
		out.Reset()
		p.clear()
		require.Empty(t, out.String(), "there is nothing left to wipe")
	})
}

func TestProgress_elsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, false)
		for i := range 250 { // 25 s
			p.report(reconcile.Progress{Stage: "applying", Done: i})
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, "mmsync: applying 100 · 10/s\nmmsync: applying 200 · 10/s\n", out.String(), "a line every ten seconds")
		p.clear()
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
	})
}

func TestProgress_silenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, a := range []*app{{noProgress: true}, {quiet: true}} {
			var out bytes.Buffer
			a.stderr = &out
			p := a.progress()
			time.Sleep(time.Minute)
			p.report(reconcile.Progress{Stage: "applying", Done: 1})
			p.clear()
			require.Empty(t, out.String())
		}
	})
}

// A log line does not end up behind the progress line on the same screen line.
func TestApp_logger_besideProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		a := &app{stderr: &out, color: "never", logFormat: "text", env: func(string) (string, bool) { return "", false }}
		a.bar = newProgress(&out, true)
		log := a.logger(&config.Config{})
		time.Sleep(2 * time.Second)
		a.bar.report(reconcile.Progress{Stage: "applying", Done: 1})
		log.Warn("something")
		require.Regexp(t, `^\rapplying 1\r {10}\r\S.*WRN something\n$`, out.String())
		out.Reset()
		a.bar.last = time.Time{}
		a.bar.report(reconcile.Progress{Stage: "applying", Done: 2})
		a.complain(signalError{sigterm}, goOn)
		require.Regexp(t, `^\rapplying 2[^\n]*\r +\rmmsync: interrupted by SIGTERM\nmmsync: hint: everything`, out.String())
	})
}
