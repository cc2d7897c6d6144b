package daemon

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"

	protocol "github.com/mmsync/mmsync/internal/scim"
)

// quirks counts which client deviates how often, so that an operator sees what a
// stricter profile would break.
type quirks struct {
	log *slog.Logger
	mu  sync.Mutex
	met map[quirk]int
}

type quirk struct {
	client string
	name   protocol.Quirk
}

func newQuirks(log *slog.Logger) *quirks { return &quirks{log: log, met: map[quirk]int{}} }

// noted counts one, and says so the first time.
func (q *quirks) noted(client string, name protocol.Quirk) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := quirk{client, name}
	if q.met[at]++; q.met[at] == 1 {
		q.log.Info("a client deviates from the RFCs, and that is put up with", "client", client, "quirk", string(name))
	}
}

// sum says how often each was met.
func (q *quirks) sum() {
	q.mu.Lock()
	defer q.mu.Unlock()
	met := slices.SortedFunc(maps.Keys(q.met), func(a, b quirk) int {
		return cmp.Or(cmp.Compare(a.client, b.client), cmp.Compare(a.name, b.name))
	})
	for _, at := range met {
		q.log.Info("requests with a deviation", "client", at.client, "quirk", string(at.name), "times", q.met[at])
	}
}
