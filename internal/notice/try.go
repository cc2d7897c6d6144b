package notice

import (
	"context"
	"slices"
	"time"
)

// Outcome is what became of a test.
type Outcome struct {
	Name string
	Err  error // nil: it was taken
	Took time.Duration
}

// Try sends a test to the receivers of the given names, or to all, one after another,
// and tells what became of each. It needs no store.
func Try(ctx context.Context, receivers []Receiver, link string, names ...string) []Outcome {
	var out []Outcome
	for i := range receivers {
		r := &receivers[i]
		if len(names) > 0 && !slices.Contains(names, r.Name) {
			continue
		}
		start := time.Now()
		sending, cancel := context.WithTimeout(ctx, sendWithin)
		err := r.Sink.Send(sending, Notice{
			Kind: Test, Key: string(Test), Severity: Warn, Link: link, At: start.UTC(),
			Text: "This is a test of mmsync's notices; nothing is the matter.", Next: "Nothing has to be done.",
		})
		cancel()
		out = append(out, Outcome{Name: r.Name, Err: err, Took: time.Since(start)})
	}
	return out
}
