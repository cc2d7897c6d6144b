package daemon

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/mmsync/mmsync/internal/admin"
	protocol "github.com/mmsync/mmsync/internal/scim"
)

// quirks counts which source's clients deviate how often, so that an operator sees what
// a stricter profile would break.
type quirks struct {
	log     *slog.Logger
	metrics *admin.Metrics

	mu  sync.Mutex
	met map[quirk]bool
}

type quirk struct {
	client string
	name   protocol.Quirk
}

func newQuirks(log *slog.Logger, m *admin.Metrics) *quirks {
	return &quirks{log: log, metrics: m, met: map[quirk]bool{}}
}

// noted counts one, and says so the first time. A client is named source/name.
func (q *quirks) noted(client string, name protocol.Quirk) {
	source, _, _ := strings.Cut(client, "/")
	q.metrics.Quirk(source, string(name))
	q.mu.Lock()
	defer q.mu.Unlock()
	at := quirk{client, name}
	if q.met[at] {
		return
	}
	q.met[at] = true
	q.log.Info("a client deviates from the RFCs, and that is put up with", "client", client, "quirk", string(name))
}
