package mmsim

import (
	"embed"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
)

// defaults are the answers of servers with everything at its default: the
// configuration clients see, signed in or not, and what an admin sees of it.
//
//go:embed data
var defaults embed.FS

// config is the server's configuration by section and key. What was set through
// the API is stored and outlives a restart; the environment lies over it.
type config struct {
	stored map[string]map[string]any
	values map[string]map[string]any // as GET /config shows it
	env    map[string]map[string]any // what the environment fixes
	client clientConfig
}

type clientConfig struct {
	Limited map[string]string `json:"limited"` // without a session
	Full    map[string]string `json:"full"`    // on top of it, with one
}

// unseen are settings outside the recorded sections: those the simulator
// follows, with the server's defaults, and those the recorded server had in
// its environment.
func unseen() map[string]map[string]any {
	blank := func(keys string) map[string]any {
		out := map[string]any{}
		for key := range strings.FieldsSeq(keys) {
			out[key] = ""
		}
		return out
	}
	out := map[string]map[string]any{
		"AnnouncementSettings": blank("AdminNoticesEnabled NoticesURL UserNoticesEnabled"),
		"CloudSettings":        blank("CWSAPIURL CWSURL"),
		"EmailSettings":        blank("PushNotificationServer SMTPPort SMTPServer SendEmailNotifications SendPushNotifications"),
		"FileSettings":         blank("Directory"),
		"ImageProxySettings":   blank("Enable"),
		"LogSettings":          blank("ConsoleLevel EnableDiagnostics EnableFile EnableSentry FileLevel FileLocation"),
		"PluginSettings": blank("AutomaticPrepackagedPlugins ClientDirectory Directory Enable EnableMarketplace " +
			"EnableRemoteMarketplace MarketplaceURL"),
		"ServiceSettings": blank("AllowedUntrustedInternalConnections EnableDeveloper EnableLinkPreviews EnableLocalMode " +
			"EnableSecurityFixAlert ListenAddress LocalModeSocketLocation SiteURL"),
		"SqlSettings": blank("DataSource DriverName"),
	}
	out["EmailSettings"]["RequireEmailVerification"] = false
	out["FileSettings"]["DriverName"] = "local"
	out["LdapSettings"] = blank("FirstNameAttribute LastNameAttribute NicknameAttribute PositionAttribute EmailAttribute PictureAttribute")
	out["SamlSettings"] = blank("FirstNameAttribute LastNameAttribute NicknameAttribute PositionAttribute EmailAttribute")
	maps.Copy(out["LdapSettings"], map[string]any{"Enable": false, "EnableSync": false})
	maps.Copy(out["SamlSettings"], map[string]any{"Enable": false, "EnableSyncWithLdap": false})
	maps.Copy(out["ServiceSettings"], map[string]any{
		"EnableAPIUserDeletion": false, "EnableBotAccountCreation": false, "EnableUserAccessTokens": true,
		"DisableBotsWhenOwnerIsDeactivated": true, "MaximumLoginAttempts": 10, "MaximumPayloadSizeBytes": maxBody,
	})
	return out
}

// newConfig is the default configuration under these MM_SECTION_KEY variables.
func newConfig(p Profile, settings map[string]string) *config {
	c := &config{stored: unseen()}
	version := "11.6"
	if p == Profile538 {
		version = "5.38"
		// Some keys were spelled otherwise.
		c.stored["CloudSettings"] = map[string]any{"CWSAPIUrl": "", "CWSUrl": ""}
		c.stored["PluginSettings"]["MarketplaceUrl"] = ""
		delete(c.stored["PluginSettings"], "MarketplaceURL")
		c.stored["NotificationLogSettings"] = map[string]any{"FileLocation": ""}
	}
	seen := map[string]map[string]any{}
	load("data/config-"+version+".json", &seen)
	maps.Copy(c.stored, seen)
	load("data/clientconfig-"+version+".json", &c.client)
	c.restart(settings)
	return c
}

// restart lays another environment over what is stored. A variable that names
// no known setting is ignored, as the server does.
func (c *config) restart(settings map[string]string) {
	c.values, c.env = map[string]map[string]any{}, map[string]map[string]any{}
	for section, keys := range c.stored {
		c.values[section] = maps.Clone(keys)
	}
	// Personal access tokens and sign-up are off by default; the recorded
	// servers, which this one plays, had both on from their environment.
	environment := map[string]string{
		"MM_SERVICESETTINGS_ENABLEUSERACCESSTOKENS": "true",
		"MM_TEAMSETTINGS_ENABLEOPENSERVER":          "true",
	}
	maps.Copy(environment, settings)
	for name, value := range environment {
		c.setEnv(name, value)
	}
}

func load(name string, into any) {
	raw, err := defaults.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		panic("mmsim: " + err.Error()) // the files are part of the package
	}
}

func mergeSettings(base, more map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, more)
	return out
}

func (c *config) setEnv(name, text string) {
	words := strings.SplitN(name, "_", 3)
	if len(words) != 3 || words[0] != "MM" {
		return
	}
	for section, keys := range c.values {
		if !strings.EqualFold(section, words[1]) {
			continue
		}
		for key, old := range keys {
			if !strings.EqualFold(key, words[2]) {
				continue
			}
			keys[key] = likeOld(old, text)
			if c.env[section] == nil {
				c.env[section] = map[string]any{}
			}
			c.env[section][key] = true
			return
		}
	}
}

// likeOld gives a variable's text the type of the value it replaces.
func likeOld(old any, text string) any {
	switch old.(type) {
	case bool:
		on, err := strconv.ParseBool(text)
		return err == nil && on
	case float64, int:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
		return old
	}
	return text
}

// patch changes what is not fixed by the environment; that part of a change is
// answered with 200 and has no effect.
func (c *config) patch(change map[string]map[string]any) {
	for section, keys := range change {
		for key, value := range keys {
			if c.env[section][key] != nil {
				continue
			}
			for _, into := range []map[string]map[string]any{c.stored, c.values} {
				if into[section] == nil {
					into[section] = map[string]any{}
				}
				into[section][key] = value
			}
		}
	}
}

func (c *config) flag(section, key string) bool {
	on, _ := c.values[section][key].(bool)
	return on
}

func (c *config) text(section, key string) string {
	s, _ := c.values[section][key].(string)
	return s
}

func (c *config) number(section, key string) int {
	switch n := c.values[section][key].(type) {
	case float64:
		return int(n)
	case int:
		return n
	}
	return 0
}

// followed are the keys of the client configuration that follow a setting
// which the simulator knows.
func (c *config) followed(full bool) map[string]string {
	out := map[string]string{}
	flag := func(name, section, key string) { out[name] = strconv.FormatBool(c.flag(section, key)) }
	flag("EnableOpenServer", "TeamSettings", "EnableOpenServer")
	flag("EnableUserCreation", "TeamSettings", "EnableUserCreation")
	flag("EnableGuestAccounts", "GuestAccountsSettings", "Enable")
	flag("EnableBotAccountCreation", "ServiceSettings", "EnableBotAccountCreation")
	flag("PasswordRequireLowercase", "PasswordSettings", "Lowercase")
	flag("PasswordRequireUppercase", "PasswordSettings", "Uppercase")
	flag("PasswordRequireNumber", "PasswordSettings", "Number")
	flag("PasswordRequireSymbol", "PasswordSettings", "Symbol")
	out["PasswordMinimumLength"] = strconv.Itoa(c.number("PasswordSettings", "MinimumLength"))
	out["SiteName"] = c.text("TeamSettings", "SiteName")
	if full {
		flag("EnableUserAccessTokens", "ServiceSettings", "EnableUserAccessTokens")
		flag("EnableUserDeactivation", "TeamSettings", "EnableUserDeactivation")
		flag("RequireEmailVerification", "EmailSettings", "RequireEmailVerification")
		out["CWSURL"] = c.text("CloudSettings", "CWSURL")
		set := func(name, section, key string) { out[name] = strconv.FormatBool(c.text(section, key) != "") }
		set("LdapPictureAttributeSet", "LdapSettings", "PictureAttribute")
		for key := range strings.FieldsSeq("FirstName LastName Nickname Position") {
			set("Ldap"+key+"AttributeSet", "LdapSettings", key+"Attribute")
			set("Saml"+key+"AttributeSet", "SamlSettings", key+"Attribute")
		}
	}
	return out
}
