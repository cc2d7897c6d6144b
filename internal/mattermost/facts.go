package mattermost

import (
	"context"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Facts asks the server what it can do and show, and who must not be touched.
// It fails if the token is not good or not an administrator's, see
// [NotAdminError] and [IsUnauthorized]. That there is no human administrator is
// not an error here: HumanAdmins is empty then.
func (t *Target) Facts(ctx context.Context) (plan.Facts, error) {
	conf, err := t.c.ClientConfig(ctx)
	if err != nil {
		return plan.Facts{}, fmt.Errorf("read the server's version: %w", err)
	}
	me, err := t.admin(ctx)
	if err != nil {
		return plan.Facts{}, err
	}
	admins, err := t.c.HumanAdmins(ctx)
	if err != nil {
		return plan.Facts{}, err
	}
	limits, err := t.c.Limits(ctx)
	if err != nil {
		return plan.Facts{}, fmt.Errorf("read the server's seat limit: %w", err)
	}
	protected, err := t.protected(ctx, me)
	if err != nil {
		return plan.Facts{}, err
	}
	v := t.version(conf)
	f := plan.Facts{
		Version:           v.String(),
		ServerID:          conf.ServerID,
		SiteURL:           conf.SiteURL,
		AuthDataVisible:   v.AtLeast(11, 0) || t.c.authData.Load(),
		LDAPLocked:        v.AtLeast(10, 2),
		EmailVerification: conf.RequireEmailVerification,
		SeatsLeft:         limits.SeatsLeft(),
		Protected:         protected,
	}
	for _, a := range admins {
		f.HumanAdmins = append(f.HumanAdmins, a.ID)
	}
	slices.Sort(f.HumanAdmins)
	return f, nil
}

// version prefers what config/client says, which some proxies leave alone
// although they strip headers.
func (t *Target) version(conf ClientConfig) Version {
	if conf.Version.IsZero() {
		return t.c.Version()
	}
	return conf.Version
}

// admin gives the token's account, if it is a system administrator's.
func (t *Target) admin(ctx context.Context) (identity.Account, error) {
	me, err := t.c.Me(ctx)
	if err != nil {
		return me, fmt.Errorf("read the token's own account: %w", err)
	}
	if !me.Roles.Has(identity.RoleAdmin) {
		return me, &NotAdminError{Username: me.Username, ID: me.ID}
	}
	return me, nil
}

// protected gives the accounts without which mmsync itself would stop.
func (t *Target) protected(ctx context.Context, me identity.Account) (map[string]string, error) {
	out := map[string]string{me.ID: "it is the account of mmsync's own token"}
	if !me.Bot {
		return out, nil
	}
	owner, err := t.c.BotOwner(ctx, me.ID)
	if err != nil {
		return nil, fmt.Errorf("read the owner of mmsync's own bot: %w", err)
	}
	if validID(owner) { // a plugin's bot has the plugin's name there
		out[owner] = "it owns mmsync's own bot, which the server disables when its owner is deactivated"
	}
	return out, nil
}
