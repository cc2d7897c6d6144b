package daemon

import (
	"context"
	"errors"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/audit/keyfile"
	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// Vault is where a configuration keeps the key that seals the history.
func Vault(c *config.Config) reconcile.Vault { return keyfile.New(c.Audit.KeyFile) }

// ExamineHistory tells whether the store is the one that was sealed last. It makes
// nothing.
func ExamineHistory(ctx context.Context, c *config.Config, s Store) []identity.Finding {
	finding := identity.Finding{Part: "history", Level: identity.LevelOK, Text: "its end is the one that was sealed last"}
	err := reconcile.History(ctx, s, Vault(c), false)
	if err == nil {
		var last []audit.Batch
		if last, err = s.AuditBatches(ctx, state.BatchFilter{Limit: 1}); len(last) == 0 {
			finding.Text = "nothing is sealed yet"
		}
	}
	var refused *reconcile.HistoryError
	switch {
	case errors.As(err, &refused):
		finding.Level, finding.Text, finding.Mend = identity.LevelFail, refused.Text, "docs/operations.md, under After a restore, says what to look at"
	case err != nil:
		finding.Level, finding.Text, finding.Mend = identity.LevelFail, err.Error(), "check state.url and the rights of its user"
	}
	return []identity.Finding{finding}
}
