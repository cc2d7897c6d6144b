package reconcile

import (
	"context"
	"fmt"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/state"
)

// RotateKey has another key seal the history from now on. The old one seals a last
// batch, which names the new one, and the new one begins with a batch that names
// both. The old one is kept for verifying. One that was cut off is done again.
func (e *Engine) RotateKey(ctx context.Context, o RunOptions) (audit.Keys, error) {
	var keys audit.Keys
	if e.o.Vault == nil {
		return keys, errNoVault
	}
	l, err := e.takeLease(ctx)
	if err != nil {
		return keys, err
	}
	defer l.release()
	c, err := history(l.ctx, e.o.Store, e.o.Vault, true)
	if err != nil {
		return keys, err
	}
	next, err := e.o.Vault.Next()
	if err != nil {
		return keys, err
	}
	keys = audit.Keys{From: c.key.Fingerprint(), To: next.Fingerprint()}
	id, err := e.rotation(l, o, audit.Keys{To: keys.To}, "the key with the fingerprint "+keys.To+" is to seal from now on")
	if err != nil {
		return keys, err
	}
	if err := e.seal(l.ctx, l.current(), id); err != nil {
		return keys, err
	}
	// Recorded before the switch, so that the first batch of the new key has it, whoever
	// seals that.
	if id, err = e.rotation(l, o, keys, "the key with the fingerprint "+keys.From+" sealed until now"); err != nil {
		return keys, err
	}
	if err := e.o.Vault.Switch(); err != nil {
		return keys, err
	}
	e.log.InfoContext(ctx, "key rotated", "run", id, "from", keys.From, "to", keys.To)
	return keys, e.seal(l.ctx, l.current(), id)
}

// rotation records one of the two runs by which a key takes over.
func (e *Engine) rotation(l *lease, o RunOptions, keys audit.Keys, said string) (string, error) {
	run, err := e.newRun(l.ctx, audit.RunRotate, o, l.current().Token)
	if err != nil {
		return "", err
	}
	if run.Options, err = state.Encode(keys); err != nil {
		return "", fmt.Errorf("record which key is to seal: %w", err)
	}
	run.Status, run.Message = state.RunDone, said
	if run.FinishedAt, err = e.o.Store.Now(l.ctx); err != nil {
		return "", fmt.Errorf("read the store's clock: %w", err)
	}
	if err := e.o.Store.SaveRun(l.ctx, run); err != nil {
		return "", fmt.Errorf("record which key is to seal: %w", err)
	}
	return run.ID, nil
}
