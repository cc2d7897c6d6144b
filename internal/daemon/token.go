package daemon

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/sources/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// TokenOptions describe a new token.
type TokenOptions struct{ Source, Name, By string }

// NewToken makes a token by which a client may push into a source, and gives its secret.
func (d *Daemon) NewToken(ctx context.Context, o TokenOptions) (string, error) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	secret := scim.SecretPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	t := state.Token{ID: "t_" + base64.RawURLEncoding.EncodeToString(b[:6]), Source: o.Source, Name: o.Name, Hash: sha256.Sum256([]byte(secret)), CreatedBy: o.By, CreatedAt: time.Now()}
	if err := d.Store.CreateToken(ctx, t); err != nil {
		return "", fmt.Errorf("keep a token: %w", err)
	}
	return secret, nil
}
