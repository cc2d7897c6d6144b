package mattermost

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Facts asks the server what it can do and show, and who must not be touched.
// What an answer can tell is taken from the answer, the rest from the version;
// of a server whose version is unknown what costs least is assumed, see
// [Target.Announce]. It fails if the server is too old ([VersionError]), or the
// token is not good or not an administrator's, see [NotAdminError] and
// [IsUnauthorized]. That there is no human administrator is not an error here:
// HumanAdmins is empty then.
func (t *Target) Facts(ctx context.Context) (plan.Facts, error) {
	t.c.breaker.askSoon() // whoever begins anew wants to know
	conf, err := t.c.ClientConfig(ctx)
	if err != nil {
		return plan.Facts{}, fmt.Errorf("read the server's version: %w", err)
	}
	v := t.c.Version()
	if v.tooOld() {
		return plan.Facts{}, &VersionError{Version: v}
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
	settings, told, err := t.settings(ctx)
	if err != nil {
		return plan.Facts{}, err
	}
	conf = unlimited(conf, settings, told)
	licence, err := t.licence(ctx)
	if err != nil {
		return plan.Facts{}, err
	}
	t.guests.Store(nil) // what was refused before may be taken now
	t.c.listLimit.Store(0)
	f := plan.Facts{
		Version:           v.told(),
		ServerID:          conf.ServerID,
		SiteURL:           conf.SiteURL,
		AuthDataVisible:   t.c.showsAuthData(),
		LDAPLocked:        t.c.locksLDAP(limits),
		EmailVerification: conf.RequireEmailVerification,
		GuestsOff:         conf.GuestsOff,
		Licence:           licence,
		LoginsOff:         conf.LoginsOff,
		Locks:             t.locks(conf, settings, told),
		PictureOfLDAP:     conf.LDAPPictures,
		PictureOfSAML:     conf.LDAPPictures && settings.SAMLAsLDAP,
		NoPictures:        t.c.noFiles.Load(),
		Domains:           domainList(settings.RestrictCreationToDomains),
		GuestDomains:      domainList(settings.RestrictGuestsToDomains),
		SeatsLeft:         limits.SeatsLeft(),
		Protected:         protected,
		HumanAdmins:       sortedIDs(admins),
	}
	if t.o.Custom {
		if err := t.customFacts(ctx, &f); err != nil {
			return plan.Facts{}, fmt.Errorf("read which user attributes there are: %w", err)
		}
	}
	return f, nil
}

func sortedIDs(users []identity.Account) []string {
	var ids []string
	for i := range users {
		ids = append(ids, users[i].ID)
	}
	slices.Sort(ids)
	return ids
}

// licence asks what the licence has, if anybody wants to know.
func (t *Target) licence(ctx context.Context) (plan.Licence, error) {
	if !t.o.Guests && !t.o.Delegated {
		return plan.Licence{}, nil
	}
	l, err := t.c.License(ctx)
	if err != nil {
		return plan.Licence{}, fmt.Errorf("read the server's licence: %w", err)
	}
	return plan.Licence{Known: true, Guests: l.Guests, Delegated: l.Delegated}, nil
}

// settings reads the server's configuration; told is false where the token may not.
func (t *Target) settings(ctx context.Context) (s Settings, told bool, err error) {
	s, err = t.c.Settings(ctx)
	switch {
	case IsRefused(err):
		return Settings{}, false, nil
	case err != nil:
		return s, false, fmt.Errorf("read the server's configuration: %w", err)
	}
	return s, true, nil
}

// unlimited fills in what a limited config/client leaves out. Where the
// configuration may not be read, no e-mail is to be changed: a try could mail the
// person each time.
func unlimited(conf ClientConfig, s Settings, told bool) ClientConfig {
	switch {
	case !conf.Limited:
	case !told:
		conf.RequireEmailVerification = true
	default:
		conf.RequireEmailVerification, conf.SiteURL = s.RequireEmailVerification, orDefault(conf.SiteURL, s.SiteURL)
	}
	return conf
}

// domainList takes a list of e-mail domains apart as the server does (app/team.go,
// normalizeDomains, and app/users, CheckEmailDomain): commas, blanks and @ separate.
func domainList(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ',' || r == '@' || unicode.IsSpace(r) })
}

// How reads show auth data. An administrator's answer of 11.0 and later leaves
// the key away where there is none; an older server always writes it, empty.
const (
	authUnseen int32 = iota // nothing was read yet
	authShown
	authHidden
)

// sawAuth notes what a read showed. The last one counts: a server can be
// upgraded under a running mmsync, or set back.
func (c *Client) sawAuth(hidden bool) {
	now := authShown
	if hidden {
		now = authHidden
	}
	if c.authData.Load() != now {
		c.authData.Store(now)
	}
}

// showsAuthData tells whether an empty auth data means that there is none.
func (c *Client) showsAuthData() bool {
	if seen := c.authData.Load(); seen != authUnseen {
		return seen == authShown
	}
	return c.Version().AtLeast(11, 0)
}

// locksLDAP tells whether the server refuses to (de)activate accounts with login
// service ldap, as 10.2 and later do, and any that has done so. Without a version: one that shows auth data
// is 11.0 or later, one without limits/server is older than 9.5, and of any other
// it is assumed, for then the leaver's sessions are ended and somebody is told,
// where a refused call would do neither.
func (c *Client) locksLDAP(l Limits) bool {
	if v := c.Version(); !v.IsZero() {
		return v.AtLeast(10, 2) || c.ldapLocked.Load()
	}
	return c.ldapLocked.Load() || l.Told || c.showsAuthData()
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
