package mmsim

import (
	"crypto/md5" //nolint:gosec // 5.38 hashed its client configuration so; nothing is protected by it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
)

func systemRoutes(p Profile) []route {
	refusing := func(status int, id string) handler {
		return func(*Server, *request) reply { return fail(status, id) }
	}
	unlicensed := refusing(http.StatusNotImplemented, "api.license_error")
	if p == Profile538 {
		unlicensed = refusing(http.StatusNotImplemented, "api.ldap_groups.license_error")
	}
	noLDAP := refusing(http.StatusNotImplemented, "api.ldap_groups.license_error")
	routes := []route{
		get("system/ping", (*Server).ping).open(),
		get("config/client", (*Server).clientConfig).open(),
		get("config/environment", (*Server).environment),
		get("config", (*Server).getConfig),
		put("config/patch", (*Server).patchConfig).writes(),
		get("license/client", (*Server).clientLicense).open(),
		post("roles/names", (*Server).rolesByName),
		post("caches/invalidate", (*Server).invalidateCaches).writes(),
		get("groups", unlicensed),
		post("groups", unlicensed),
		get("users/{id}/groups", unlicensed),
		post("ldap/sync", noLDAP),
		post("ldap/test", noLDAP),
		get("ldap/groups", noLDAP),
	}
	if p == Profile538 {
		return routes
	}
	return append(routes,
		get("limits/server", (*Server).limits),
		get("custom_profile_attributes/fields", (*Server).customFields),
		get("users/{id}/custom_profile_attributes", (*Server).customValues),
		route{method: http.MethodPatch, path: "users/{id}/custom_profile_attributes", handle: (*Server).setCustomValues}.writes(),
	)
}

func (s *Server) version() string {
	if s.profile == Profile538 {
		return "5.37.0"
	}
	return "11.6.0"
}

// newVersionID is version, build number, hash of the client configuration, and
// whether there is a licence. It is made anew when the configuration changes.
func (s *Server) newVersionID() string {
	raw, err := json.Marshal(s.clientValues(true))
	if err != nil {
		return ""
	}
	if s.profile == Profile538 {
		sum := md5.Sum(raw) //nolint:gosec // see the import
		return "5.37.0.." + hex.EncodeToString(sum[:]) + ".false"
	}
	sum := sha256.Sum256(raw)
	if s.release != "" {
		return s.release + "." + s.release + "." + hex.EncodeToString(sum[:]) + ".false"
	}
	return "11.6.0.11.6.0." + hex.EncodeToString(sum[:]) + ".false"
}

func (s *Server) siteURL() string {
	if url := s.conf.text("ServiceSettings", "SiteURL"); url != "" {
		return url
	}
	return s.url
}

// ping needs no token and says OK while the database is away, unless it is
// asked to look.
func (s *Server) ping(q *request) reply {
	body := pingBody()
	if s.profile == Profile538 {
		delete(body, "ActiveSearchBackend")
		body["DesktopLatestVersion"], body["DesktopMinVersion"] = "", ""
	}
	if q.flag("get_server_status") {
		body["database_status"], body["filestore_status"] = "OK", "OK"
		if q.admin() && s.profile != Profile538 {
			body["root_status"] = true
		}
	}
	return ok(http.StatusOK, body)
}

func pingBody() map[string]any {
	return map[string]any{
		"ActiveSearchBackend": "database", "AndroidLatestVersion": "", "AndroidMinVersion": "",
		"IosLatestVersion": "", "IosMinVersion": "", "status": "OK",
	}
}

// clientConfig: 5.38 wants format=old, 11.6 does not look at it.
func (s *Server) clientConfig(q *request) reply {
	if s.profile == Profile538 {
		switch q.query.Get("format") {
		case "old":
		case "":
			return fail(http.StatusNotImplemented, "api.config.client.old_format.app_error")
		default:
			return badBody()
		}
	}
	return ok(http.StatusOK, s.clientValues(q.session != nil))
}

func (s *Server) clientValues(full bool) map[string]string {
	out := maps.Clone(s.conf.client.Limited)
	if full {
		maps.Copy(out, s.conf.client.Full)
		if s.profile != Profile538 {
			out["InstallationDate"] = strconv.FormatInt(s.installed, 10)
		}
	}
	maps.Copy(out, s.conf.followed(full && s.profile != Profile538))
	if s.opts.Enterprise {
		out["BuildEnterpriseReady"] = "true"
	}
	for _, key := range s.opts.Logins {
		out[key] = "true"
	}
	if s.release != "" {
		out["Version"] = s.release
	}
	out["TelemetryId"], out["DiagnosticId"] = s.serverID, s.serverID
	out["AsymmetricSigningPublicKey"] = s.publicKey
	if s.profile != Profile538 {
		out["SiteURL"] = s.siteURL()
	}
	return out
}

func (s *Server) clientLicense(*request) reply {
	return ok(http.StatusOK, map[string]string{"IsLicensed": "false"})
}

func (s *Server) getConfig(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	return ok(http.StatusOK, s.conf.values)
}

func (s *Server) environment(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	return ok(http.StatusOK, s.conf.env)
}

func (s *Server) patchConfig(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	change := map[string]map[string]any{}
	if err := q.decode(&change); err != nil {
		return q.refuse(err, errBody)
	}
	guests := s.conf.flag("GuestAccountsSettings", "Enable")
	s.conf.patch(change)
	s.versionID = s.newVersionID()
	if guests && !s.conf.flag("GuestAccountsSettings", "Enable") {
		s.dropGuests(q)
	}
	return ok(http.StatusOK, s.conf.values)
}

// rolesByName describes roles; which permissions each has is not simulated.
func (s *Server) rolesByName(q *request) reply {
	names, refusal := s.list(q)
	if refusal != nil {
		return *refusal
	}
	label := map[string]string{roleAdmin: "global_admin", roleUser: "global_user", roleGuest: "global_guest"}
	out := []map[string]any{}
	for _, name := range names {
		if !knownRole(name, s.profile) {
			continue
		}
		text, scheme := label[name], true
		if text == "" {
			text, scheme = name, false
		}
		out = append(out, map[string]any{
			"id": s.ids.id(), "name": name, "display_name": "authentication.roles." + text + ".name",
			"description": "authentication.roles." + text + ".description", "create_at": s.installed,
			"update_at": s.installed, "delete_at": 0, "permissions": []string{}, "scheme_managed": scheme,
			"built_in": true, "scheme_id": nil,
		})
	}
	return ok(http.StatusOK, out)
}

func (s *Server) invalidateCaches(q *request) reply {
	if !q.admin() {
		return forbidden()
	}
	s.forgetCaches()
	return statusOK()
}

// limits: anybody signed in may ask. Without a limit the numbers are 0.
func (s *Server) limits(*request) reply {
	return ok(http.StatusOK, map[string]int{
		"maxUsersLimit": s.opts.SeatLimit * 4 / 5, "maxUsersHardLimit": s.opts.SeatLimit,
		"activeUserCount": s.db.activeHumans, "singleChannelGuestCount": 0, "singleChannelGuestLimit": 0,
		"postHistoryLimit": 0, "lastAccessiblePostTime": 0,
	})
}
