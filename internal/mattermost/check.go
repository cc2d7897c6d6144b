package mattermost

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Check looks at everything mmsync needs from the server, in the order in which
// one thing depends on the other, and says how to mend what is not well. It
// writes nothing. It ends early where nothing more can be known. A Mend may have
// several lines: commands to copy.
func (t *Target) Check(ctx context.Context) []identity.Finding {
	f := findings{url: t.c.BaseURL()}
	h, err := t.c.Ping(ctx)
	switch {
	case err != nil:
		f.fail("server", fmt.Sprintf("%s cannot be used: %v", f.url, err),
			"Look at the address: curl "+f.url+apiPrefix+"/system/ping must answer with JSON. If a proxy or your own authority stands in between, see mattermost.proxy_url and mattermost.ca_file.")
		return f.list
	case !h.Database:
		f.fail("server", f.url+" answers, but does not reach its database", "Wait until it does, or look at the Mattermost server's log.")
		return f.list
	}
	f.ok("server", f.url+" answers, and so does its database")

	conf, err := t.c.ClientConfig(ctx)
	if err != nil {
		f.fail("version", fmt.Sprintf("the server's version cannot be read: %v", err), "Look at what the error names, then run doctor again.")
		return f.list
	}
	if v := t.c.Version(); v.tooOld() {
		f.fail("version", (&VersionError{Version: v}).Error(), "Upgrade the server, or leave it out of mmsync until it is.")
		return f.list
	}
	t.checkVersion(&f)
	f.siteURL(conf)

	me, ok := t.checkToken(ctx, &f)
	if !ok {
		return f.list
	}
	t.checkBot(ctx, &f, me)
	t.checkAdmins(ctx, &f)
	t.checkSeats(ctx, &f)
	f.creation(conf)
	t.checkSettings(ctx, &f, conf)
	t.checkLicence(ctx, &f, conf)
	return f.list
}

// checkLicence says of what the rules ask for whether the server has it.
func (t *Target) checkLicence(ctx context.Context, f *findings, conf ClientConfig) {
	if !t.o.Guests && !t.o.Delegated {
		return
	}
	l, err := t.c.License(ctx)
	if err != nil {
		f.warn("licence", fmt.Sprintf("the server's licence cannot be read: %v", err), "Look at what the error names, then run doctor again.")
		return
	}
	switch {
	case !t.o.Guests:
	case !l.Guests:
		f.warn("guests", "the section guests makes guests, and the server's licence has none: whom a rule makes a guest gets no account, and who has one stays a full member",
			"Extend the licence, or take the section guests out.")
	case conf.GuestsOff:
		f.warn("guests", "the section guests makes guests, and the server's guest feature is off: it has switched off all guests, and lets none in", "mmctl config set GuestAccountsSettings.Enable true")
	default:
		f.ok("guests", "the server has them")
	}
	switch {
	case !t.o.Delegated:
	case !l.Delegated:
		f.warn("delegated roles", "the section roles gives a role that the server's licence does not have ("+strings.Join(plan.LicenceRoles(), ", ")+" need one): nobody gets it",
			"Extend the licence, or take the role out of the section roles.")
	default:
		f.ok("delegated roles", "the server's licence has them")
	}
}

func (t *Target) checkToken(ctx context.Context, f *findings) (identity.Account, bool) {
	me, err := t.c.Me(ctx)
	switch {
	case IsUnauthorized(err):
		f.fail("token", "the server does not accept the token; it does not say whether it was revoked, disabled, has expired, or its account is deactivated",
			"Make a bot with a token, and put the token into mattermost.token_file.\n"+f.makeBot())
		return me, false
	case err != nil:
		f.fail("token", fmt.Sprintf("the token's own account cannot be read: %v", err), "Look at what the error names, then run doctor again.")
		return me, false
	}
	f.ok("token", fmt.Sprintf("it belongs to %q (%s)", me.Username, me.ID))
	if !me.Roles.Has(identity.RoleAdmin) {
		f.fail("token role", fmt.Sprintf("%q is not a system administrator: Mattermost hides logins from it and refuses its changes", me.Username),
			"mmctl roles system-admin "+me.Username)
		return me, false
	}
	f.ok("token role", fmt.Sprintf("%q is a system administrator", me.Username))
	return me, true
}

func (t *Target) checkBot(ctx context.Context, f *findings, me identity.Account) {
	if !me.Bot {
		f.warn("token owner", fmt.Sprintf("the token is a person's (%q): it dies when that person's account is deactivated, and mmsync protects that account", me.Username),
			"A bot with a token of its own is better.\n"+f.makeBot())
		return
	}
	owner, err := t.c.BotOwner(ctx, me.ID)
	switch {
	case err != nil:
		f.fail("token owner", fmt.Sprintf("the owner of the bot cannot be read: %v", err), "Look at what the error names, then run doctor again.")
	case validID(owner):
		f.ok("token owner", "the bot belongs to account "+owner+", which mmsync protects: the server disables a bot when its owner is deactivated")
	default:
		f.ok("token owner", "the bot belongs to the plugin "+quoteShort(owner))
	}
}

func (t *Target) checkAdmins(ctx context.Context, f *findings) {
	admins, err := t.c.HumanAdmins(ctx)
	switch {
	case err != nil:
		f.fail("administrators", fmt.Sprintf("they cannot be read: %v", err), "Look at what the error names, then run doctor again.")
	case len(admins) == 0:
		f.fail("administrators", "no active person is a system administrator; mmsync then writes nothing, because the first person it created would become one",
			"Create one by hand: mmctl --local user create --system-admin --username NAME --email ADDRESS --password PASSWORD")
	case len(admins) == 1:
		f.warn("administrators", fmt.Sprintf("only one active person (%q) is a system administrator", admins[0].Username),
			"Name a second one, kept outside of every directory, for the day the first cannot log in: mmctl roles system-admin NAME")
	default:
		names := make([]string, 0, len(admins))
		for _, a := range admins[:min(len(admins), 5)] {
			names = append(names, quoteShort(a.Username))
		}
		more := ""
		if n := len(admins) - len(names); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		f.ok("administrators", fmt.Sprintf("%d active people: %s%s", len(admins), strings.Join(names, ", "), more))
	}
}

func (t *Target) checkSeats(ctx context.Context, f *findings) {
	l, err := t.c.Limits(ctx)
	switch left := l.SeatsLeft(); {
	case err != nil:
		f.warn("seats", fmt.Sprintf("the seat limit cannot be read: %v", err), "Look at what the error names, then run doctor again.")
	case left < 0:
		f.ok("seats", "the server has no limit of active accounts")
	case left*10 < l.Hard:
		f.warn("seats", fmt.Sprintf("%d of %d seats are taken; creations and reactivations are held when none is left", l.Active, l.Hard),
			"Deactivate accounts that are not used, or extend the licence.")
	default:
		f.ok("seats", fmt.Sprintf("%d of %d are taken", l.Active, l.Hard))
	}
}

func (t *Target) checkSettings(ctx context.Context, f *findings, conf ClientConfig) {
	s, err := t.c.Settings(ctx)
	if err != nil {
		f.warn("settings", fmt.Sprintf("the server's configuration cannot be read: %v", err),
			"mmsync works without; what depends on it is not checked.")
		return
	}
	if s.RequireEmailVerification || conf.RequireEmailVerification {
		f.warn("e-mail", "EmailSettings.RequireEmailVerification is on: a changed e-mail would wait for the person's confirmation, with a mail for each try, so mmsync changes none",
			"mmctl config set EmailSettings.RequireEmailVerification false, if the source vouches for its addresses.")
	} else {
		f.ok("e-mail", "changes of e-mail take effect at once")
	}
	if d := strings.TrimSpace(s.RestrictCreationToDomains); d != "" {
		f.warn("e-mail domains", "accounts, but for those that log in by ldap or saml, are created only with an e-mail of "+quoteShort(d)+", and teams take nobody else; subdomains do not count; mmsync holds who is outside",
			"Add the source's domains: mmctl config set TeamSettings.RestrictCreationToDomains \"…\"")
	}
	if s.LDAPSync || s.SAMLSync {
		f.warn("server's own sync", "the server's own LDAP synchronisation is on and switches ldap or saml accounts off and on by itself",
			"Let one of the two do it: leave those accounts out of mmsync's sources, or mmctl config set LdapSettings.EnableSync false.")
	}
	f.locks(t.locks(conf, s, true))
	have := t.c.limit.configured
	switch {
	case !s.RateLimit:
		f.ok("rate limit", fmt.Sprintf("the server has none; mmsync makes at most %.0f requests a second", have))
	case float64(s.RatePerSecond) < have:
		f.warn("rate limit", fmt.Sprintf("the server takes %d requests a second; mmsync slows down to that and shares it with everybody behind the same address", s.RatePerSecond),
			fmt.Sprintf("Set mattermost.rate_limit.per_second to %d, or raise RateLimitSettings.PerSec.", max(s.RatePerSecond/2, 1)))
	default:
		f.ok("rate limit", fmt.Sprintf("the server takes %d requests a second, mmsync makes at most %.0f", s.RatePerSecond, have))
	}
}

// locks says which fields stay as they are because the server's settings map them.
func (f *findings) locks(l plan.Locks) {
	for _, service := range slices.Sorted(maps.Keys(l)) {
		var names []string
		for _, a := range l[service].List() {
			names = append(names, string(a))
		}
		f.ok("profile fields", "the server keeps "+strings.Join(names, ", ")+" of "+service+" accounts to its own "+service+" settings, so mmsync leaves them as they are and notes it")
	}
}

// findings collects lines in order.
type findings struct {
	url  string
	list []identity.Finding
}

func (f *findings) ok(part, text string) {
	f.list = append(f.list, identity.Finding{Part: part, Level: identity.LevelOK, Text: text})
}

func (f *findings) warn(part, text, mend string) {
	f.list = append(f.list, identity.Finding{Part: part, Level: identity.LevelWarn, Text: text, Mend: mend})
}

func (f *findings) fail(part, text, mend string) {
	f.list = append(f.list, identity.Finding{Part: part, Level: identity.LevelFail, Text: text, Mend: mend})
}

func (t *Target) checkVersion(f *findings) {
	v := t.c.Version()
	switch said := t.Announce(); {
	case v.IsZero():
		f.warn("version", said, "Ask the server past the proxies: curl -I "+f.url+apiPrefix+"/system/ping must show X-Version-Id.")
	case v.untried():
		f.warn("version", said, "Look for a newer mmsync, or try on a copy first.")
	case said != "":
		f.warn("version", said, "Let the proxy pass the header on.")
	case !t.c.showsAuthData():
		f.warn("version", v.String()+" shows nobody's auth data: mmsync relies on what it wrote itself and cannot see changes made elsewhere",
			"Nothing has to be done; from 11.0 the server shows it.")
	default:
		f.ok("version", v.String())
	}
}

func (f *findings) siteURL(conf ClientConfig) {
	switch site := strings.TrimRight(conf.SiteURL, "/"); {
	case site == "":
		f.warn("site URL", "the server has none set, so links in its mails lead nowhere", "mmctl config set ServiceSettings.SiteURL "+f.url)
	case site != f.url:
		f.ok("site URL", fmt.Sprintf("the server calls itself %s; mmsync reaches it as %s", site, f.url))
	default:
		f.ok("site URL", site)
	}
}

func (f *findings) creation(conf ClientConfig) {
	if conf.EnableUserCreation {
		f.ok("account creation", "it is on")
		return
	}
	f.warn("account creation", "TeamSettings.EnableUserCreation is off; the server may refuse to create accounts",
		"mmctl config set TeamSettings.EnableUserCreation true; TeamSettings.EnableOpenServer may stay off.")
}

// makeBot gives the commands that make the bot and its token, a line each.
func (f *findings) makeBot() string {
	curl := `curl -H "Authorization: Bearer $T" ` + f.url + apiPrefix
	return strings.Join([]string{
		"With mmctl:",
		"  mmctl config set ServiceSettings.EnableBotAccountCreation true",
		"  mmctl bot create mmsync --with-token",
		"  mmctl roles system-admin mmsync",
		"Or with curl, an administrator's token in $T and, from the first answer's user_id, $B:",
		"  " + curl + `/bots -d '{"username":"mmsync"}'`,
		"  " + curl + `/users/$B/roles -X PUT -d '{"roles":"system_admin system_user"}'`,
		"  " + curl + `/users/$B/tokens -d '{"description":"mmsync"}'`,
	}, "\n")
}
