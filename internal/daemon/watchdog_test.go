package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A part that goes round no more is named, and the service manager hears nothing until it
// does again.
func TestWatchdog_a_part_that_is_stuck(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "unixgram", socket)
	require.NoError(t, err)
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "100000")
	t.Setenv("WATCHDOG_PID", "")
	const within, margin = time.Second, time.Second
	p, hang, works := newPulse(), make(chan chan struct{}), make(chan chan struct{})
	part := component{"loop", func(ctx context.Context) error {
		for {
			p.round()
			select {
			case <-ctx.Done():
				return nil
			case until := <-hang:
				<-until
			case until := <-works:
				p.work(func() { <-until })
			case <-time.After(20 * time.Millisecond):
			}
		}
	}, p.silent}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	parts := []component{part}
	go func() {
		ended <- supervise(ctx, append(watchdog(log, parts, within), parts...), time.Second, slog.New(slog.DiscardHandler), func() {}, func() {})
	}()
	// ticks counts what is heard in a while.
	ticks := func(d time.Duration) (n int) {
		buf := make([]byte, 100)
		for end := time.Now().Add(d); ; n++ {
			require.NoError(t, l.SetReadDeadline(end))
			if _, _, err := l.ReadFrom(buf); err != nil {
				return n
			}
		}
	}
	lives := func(msg string) {
		t.Helper()
		require.NoError(t, l.SetReadDeadline(time.Now().Add(time.Minute)))
		_, _, err := l.ReadFrom(make([]byte, 100))
		require.NoError(t, err, msg)
	}
	lives("")
	long := make(chan struct{})
	works <- long
	ticks(within + margin)
	lives("what is at work may take as long as it takes")
	close(long)
	stuck := make(chan struct{})
	hang <- stuck
	ticks(within + margin)
	require.Zero(t, ticks(within))
	close(stuck)
	lives("and it is alive again")
	stop()
	require.NoError(t, <-ended)
	require.Contains(t, text.String(), "part=loop")
}
