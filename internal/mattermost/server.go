package mattermost

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Health is the server's answer about itself.
type Health struct {
	// Database is whether the server reaches its database. The plain ping says
	// OK without it; this one asks.
	Database bool
	// FileStore is whether it reaches its files, which mmsync has no use for.
	FileStore bool
}

// Ping asks the server about itself and its database. Each such question makes
// the server write to its database: it is not for polling.
func (c *Client) Ping(ctx context.Context) (Health, error) { return c.ping(ctx) }

// ping does not repeat itself and is not checked for a denial: it is what
// denials are checked with.
func (c *Client) ping(ctx context.Context) (Health, error) {
	var b struct {
		Database  string `json:"database_status"`
		FileStore string `json:"filestore_status"`
	}
	q := call{
		method: http.MethodGet, path: "/system/ping", query: url.Values{"get_server_status": {"true"}},
		urgent: true, sick: true, decode: into(&b),
	}
	err := c.attempt(ctx, &q)
	return Health{Database: b.Database == "OK", FileStore: b.FileStore == "OK"}, err
}

// ClientConfig is what the server tells every client about itself.
type ClientConfig struct {
	Version Version
	// ServerID is TelemetryId, or DiagnosticId where that is missing.
	ServerID string
	SiteURL  string
	// RequireEmailVerification keeps a patched e-mail pending.
	RequireEmailVerification bool
	EnableUserCreation       bool
	MinimumPasswordLength    int
	EnterpriseBuild          bool
	// GuestsOff: the server says that its guest feature is off. Limited answers say it too.
	GuestsOff bool
	// LoginsOff are the login services that are off, sorted. One that the server does not
	// speak of is among them: Team Edition 11 has no gitlab any more, and does not say so.
	LoginsOff []string
	// LDAPPictures: the server takes pictures of its LDAP accounts from its directory.
	LDAPPictures bool
	// LDAPMapped and SAMLMapped are the profile fields that the server says its settings
	// map to an attribute of its directory. It never speaks of the e-mail.
	LDAPMapped, SAMLMapped identity.Attributes
	// Limited is the answer for strangers, which some servers give to everybody:
	// it lacks RequireEmailVerification and SiteURL.
	Limited bool
}

// ClientConfig reads config/client.
func (c *Client) ClientConfig(ctx context.Context) (ClientConfig, error) {
	var b struct {
		Version                  string  `json:"Version"`
		TelemetryID              string  `json:"TelemetryId"`
		DiagnosticID             string  `json:"DiagnosticId"`
		SiteURL                  string  `json:"SiteURL"`
		RequireEmailVerification *string `json:"RequireEmailVerification"`
		EnableUserCreation       string  `json:"EnableUserCreation"`
		PasswordMinimumLength    string  `json:"PasswordMinimumLength"`
		BuildEnterpriseReady     string  `json:"BuildEnterpriseReady"`
		EnableGuestAccounts      string  `json:"EnableGuestAccounts"`
		LDAP                     string  `json:"EnableLdap"`
		SAML                     string  `json:"EnableSaml"`
		GitLab                   string  `json:"EnableSignUpWithGitLab"`
		Google                   string  `json:"EnableSignUpWithGoogle"`
		Office365                string  `json:"EnableSignUpWithOffice365"`
		OpenID                   string  `json:"EnableSignUpWithOpenId"`
		LdapPictureAttributeSet  string  `json:"LdapPictureAttributeSet"`
		mappedFields
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: "/config/client", query: url.Values{"format": {"old"}}, decode: into(&b),
	})
	if err != nil {
		return ClientConfig{}, err
	}
	length, _ := strconv.Atoi(b.PasswordMinimumLength) // 0: not told
	var off []string
	for _, s := range []struct{ name, on string }{
		{"gitlab", b.GitLab}, {"google", b.Google}, {"ldap", b.LDAP}, {"office365", b.Office365}, {"openid", b.OpenID}, {"saml", b.SAML},
	} {
		if s.on != "true" {
			off = append(off, s.name)
		}
	}
	version := parseVersionID(b.Version + "...")
	c.configVersion.Store(&version)
	return ClientConfig{
		Version:                  version,
		ServerID:                 orDefault(b.TelemetryID, b.DiagnosticID),
		SiteURL:                  b.SiteURL,
		RequireEmailVerification: b.RequireEmailVerification != nil && *b.RequireEmailVerification == "true",
		Limited:                  b.RequireEmailVerification == nil,
		EnableUserCreation:       b.EnableUserCreation == "true",
		MinimumPasswordLength:    length,
		EnterpriseBuild:          b.BuildEnterpriseReady == "true",
		GuestsOff:                b.EnableGuestAccounts == "false",
		LoginsOff:                off,
		LDAPPictures:             b.LdapPictureAttributeSet == "true",
		LDAPMapped:               b.ldap(),
		SAMLMapped:               b.saml(),
	}, nil
}

// License is what the server tells about its licence.
type License struct {
	Licensed bool
	SKU      string // "" without a licence
	// Until is when it ends; zero without one, and where the server does not say.
	Until time.Time
	// Guests and Delegated tell whether it has guest accounts, and the roles of
	// administrators with fewer rights.
	Guests, Delegated bool
}

// License reads license/client.
func (c *Client) License(ctx context.Context) (License, error) {
	var b struct {
		IsLicensed   string `json:"IsLicensed"`
		SkuShortName string `json:"SkuShortName"`
		ExpiresAt    string `json:"ExpiresAt"` // milliseconds; for administrators alone
		Guests       string `json:"GuestAccounts"`
		Schemes      string `json:"CustomPermissionsSchemes"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: "/license/client", query: url.Values{"format": {"old"}}, decode: into(&b),
	})
	l := License{Licensed: b.IsLicensed == "true", SKU: b.SkuShortName}
	l.Guests, l.Delegated = l.Licensed && b.Guests == "true", l.Licensed && b.Schemes == "true"
	if at, bad := strconv.ParseInt(b.ExpiresAt, 10, 64); bad == nil && at > 0 && l.Licensed {
		l.Until = time.UnixMilli(at).UTC()
	}
	return l, err
}

// Limits is how many accounts may be active.
type Limits struct {
	// Hard is the number from which creation and reactivation are refused; 0
	// means no limit.
	Hard int
	// Active counts active people; bots and remote users are not among them.
	Active int
	// Told is false for servers that do not have the call.
	Told bool
}

// SeatsLeft is how many more accounts may be active; negative means no limit.
func (l Limits) SeatsLeft() int {
	if l.Hard <= 0 {
		return -1
	}
	return max(l.Hard-l.Active, 0)
}

// Limits reads limits/server. Servers that do not have it (before 9.5) have no
// limit.
func (c *Client) Limits(ctx context.Context) (Limits, error) {
	var b struct {
		Hard   int `json:"maxUsersHardLimit"`
		Active int `json:"activeUserCount"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/limits/server", decode: into(&b)})
	if unknownRoute(err) {
		return Limits{}, nil
	}
	return Limits{Hard: b.Hard, Active: b.Active, Told: err == nil}, err
}

// Settings are the parts of the server's configuration that explain what it
// will refuse. Only an administrator may read them.
type Settings struct {
	SiteURL                         string
	RestrictCreationToDomains       string
	RestrictGuestsToDomains         string // GuestAccountsSettings.RestrictCreationToDomains
	EnableUserDeactivation          bool
	RequireEmailVerification        bool
	DisableBotsWhenOwnerDeactivated bool
	MaxUsersPerTeam                 int
	RateLimit                       bool
	RatePerSecond                   int
	// LDAPSync and SAMLSync tell that the server's own LDAP job (de)activates
	// ldap respectively saml accounts.
	LDAPSync, SAMLSync bool
	// DeletionOff tells that the server says it deletes no account for good.
	DeletionOff bool
	// LDAPMapped and SAMLMapped are the profile fields that the settings of either map to
	// an attribute. Mapped is false where one of the two was left out of the answer.
	LDAPMapped, SAMLMapped identity.Attributes
	Mapped                 bool
	// SAMLAsLDAP: the server treats saml accounts as it does ldap's where somebody changes
	// them (SamlSettings.EnableSyncWithLdap), whether or not its job runs.
	SAMLAsLDAP bool
}

// Settings reads config.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	var b struct {
		TeamSettings struct {
			RestrictCreationToDomains string
			EnableUserDeactivation    bool
			MaxUsersPerTeam           int
		}
		GuestAccountsSettings struct{ RestrictCreationToDomains string }
		EmailSettings         struct{ RequireEmailVerification bool }
		ServiceSettings       struct {
			SiteURL                           string
			DisableBotsWhenOwnerIsDeactivated bool
			EnableAPIUserDeletion             *bool
		}
		RateLimitSettings struct {
			Enable bool
			PerSec int
		}
		LdapSettings struct {
			Enable, EnableSync bool
			attributeNames
		}
		SamlSettings struct {
			Enable, EnableSyncWithLdap bool
			attributeNames
		}
	}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/config", decode: into(&b)}); err != nil {
		return Settings{}, err
	}
	deletes := b.ServiceSettings.EnableAPIUserDeletion
	return Settings{
		DeletionOff:                     deletes != nil && !*deletes,
		SiteURL:                         b.ServiceSettings.SiteURL,
		RestrictCreationToDomains:       b.TeamSettings.RestrictCreationToDomains,
		RestrictGuestsToDomains:         b.GuestAccountsSettings.RestrictCreationToDomains,
		EnableUserDeactivation:          b.TeamSettings.EnableUserDeactivation,
		RequireEmailVerification:        b.EmailSettings.RequireEmailVerification,
		DisableBotsWhenOwnerDeactivated: b.ServiceSettings.DisableBotsWhenOwnerIsDeactivated,
		MaxUsersPerTeam:                 b.TeamSettings.MaxUsersPerTeam,
		RateLimit:                       b.RateLimitSettings.Enable,
		RatePerSecond:                   b.RateLimitSettings.PerSec,
		LDAPSync:                        b.LdapSettings.Enable && b.LdapSettings.EnableSync,
		SAMLSync:                        b.SamlSettings.Enable && b.SamlSettings.EnableSyncWithLdap,
		LDAPMapped:                      b.LdapSettings.mapped(),
		SAMLMapped:                      b.SamlSettings.mapped(),
		Mapped:                          b.LdapSettings.EmailAttribute != nil && b.SamlSettings.EmailAttribute != nil,
		SAMLAsLDAP:                      b.SamlSettings.EnableSyncWithLdap,
	}, nil
}

// BotOwner gives who owns a bot: an account's id, or a plugin's name. A bot's own
// record can be deleted while its account is active, so deleted ones are asked for.
func (c *Client) BotOwner(ctx context.Context, botID string) (string, error) {
	if err := checkID("read bot", botID); err != nil {
		return "", err
	}
	var b struct {
		OwnerID string `json:"owner_id"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/bots/" + botID, query: url.Values{"include_deleted": {"true"}}, decode: into(&b)})
	return b.OwnerID, err
}

// Bot is a bot as far as its owner is concerned.
type Bot struct {
	UserID   string `json:"user_id"`
	Username string `json:"username"`
	OwnerID  string `json:"owner_id"`
}

// BotOwners gives the ids of all accounts that own a bot, deleted bots
// included, for those can be switched on again.
func (c *Client) BotOwners(ctx context.Context) (map[string]bool, error) {
	owners := map[string]bool{}
	err := c.EachBot(ctx, true, func(b Bot) { owners[b.OwnerID] = true })
	return owners, err
}

// EachBot passes all bots on, one page after the other; deleted ones only if asked.
func (c *Client) EachBot(ctx context.Context, deleted bool, each func(Bot)) error {
	for page := 0; ; page++ {
		var list []Bot
		query := url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(usersPerPage)}}
		if deleted {
			query.Set("include_deleted", "true")
		}
		if _, err := c.do(ctx, call{method: http.MethodGet, path: "/bots", query: query, decode: into(&list)}); err != nil {
			return err
		}
		for _, b := range list {
			each(b)
		}
		if len(list) == 0 { // a short page may only mean that less is given than was asked for
			return nil
		}
	}
}

// HasTokens tells whether an account owns personal access tokens, disabled ones
// included.
func (c *Client) HasTokens(ctx context.Context, id string) (bool, error) {
	if err := checkID("read tokens of user", id); err != nil {
		return false, err
	}
	var list []struct {
		ID string `json:"id"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/users/" + id + "/tokens", decode: into(&list)})
	return len(list) > 0, err
}

// LastActive gives when a session of an account that still lives was last in use;
// zero if there is none.
func (c *Client) LastActive(ctx context.Context, id string) (time.Time, error) {
	if err := checkID("read sessions of user", id); err != nil {
		return time.Time{}, err
	}
	var list []struct {
		LastActivityAt int64 `json:"last_activity_at"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/users/" + id + "/sessions", decode: into(&list)})
	var last int64
	for _, s := range list {
		last = max(last, s.LastActivityAt)
	}
	if last == 0 {
		return time.Time{}, err
	}
	return time.UnixMilli(last).UTC(), err
}

// HumanAdmins gives the active human system administrators, in no order. It
// filters the listing itself: asking for active accounts only makes pages skip somebody
// whenever an account is deactivated meanwhile.
func (c *Client) HumanAdmins(ctx context.Context) ([]identity.Account, error) {
	var out []identity.Account
	_, err := c.EachUser(ctx, identity.RoleAdmin, func(a identity.Account) error {
		if a.HumanAdmin() {
			out = append(out, a)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the administrators: %w", err)
	}
	return out, nil
}
