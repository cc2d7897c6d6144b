package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/mmsync/mmsync/internal/admin/page"
	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/peer"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// page makes the status page, for whoever listens on the given host:port; "" if that
// is not known.
func (d *Daemon) page(listen string, log *slog.Logger) (http.Handler, error) {
	c := &d.Config.Admin
	o := page.Options{
		Reader: d.Store, Approver: d.Engine, Explainer: explainer{d}, Listen: listen, PublicURL: c.PublicURL, Lifetime: c.Login.Lifetime, Logger: log,
	}
	for i := range d.Config.Sources {
		s := &d.Config.Sources[i]
		o.Sources = append(o.Sources, page.Source{Name: s.Name, Type: s.Type, Pushed: s.SCIM != nil})
	}
	var err error
	if o.Proxies, err = peer.Parse(c.TrustedProxies); err != nil {
		return nil, err
	}
	if c.Token.IsSet() {
		o.Token = c.Token.Value
	}
	if c.Login.SessionKey.IsSet() {
		key, err := c.Login.SessionKey.Value()
		if err != nil {
			return nil, fmt.Errorf("read admin.login.session_key: %w", err)
		}
		o.SessionKey = []byte(key)
	}
	if x := c.Login.OIDC; x != nil {
		o.OIDC = &page.OIDC{
			Issuer: x.Issuer, ClientID: x.ClientID, Scopes: x.Scopes, NameClaim: x.NameClaim, Viewers: claim(x.Viewers), Approvers: claim(x.Approvers),
		}
		if x.ClientSecret.IsSet() {
			o.OIDC.Secret = x.ClientSecret.Value
		}
	}
	p, err := page.New(o)
	if err != nil {
		return nil, fmt.Errorf("set up the status page: %w", err)
	}
	return p, nil
}

func claim(c config.Claim) page.Claim {
	return page.Claim{Name: c.Claim, Values: c.Values, Any: c.Any}
}

// explainer is mmsync explain, but while another process is the one who asks Mattermost:
// then it is what the store knows.
type explainer struct{ d *Daemon }

func (e explainer) Explain(ctx context.Context, query string) (explain.Person, error) {
	known, other, err := e.d.Engine.Recall(ctx, query)
	switch {
	case err != nil:
		return explain.Person{}, err
	case other:
		return explain.Person{Explanation: reconcile.Explanation{Key: known.Key, Others: known.Others}, Recalled: &known}, nil
	}
	x, err := e.d.Engine.Explain(ctx, query)
	if err != nil {
		return explain.Person{}, err
	}
	p := explain.Person{Explanation: x}
	e.d.Look(ctx, &p)
	return p, nil
}
