package mmsim

import (
	"maps"
	"net/http"
	"strings"
)

// Of custom profile attributes only the refusal without a licence was recorded (11.6).
// With one this follows the server's source (api4/custom_profile_attributes.go): values
// are set by the fields' ids, an unknown one is refused, and so is one that the server
// takes from its own LDAP sync or from SAML, and in a field of type user what has not the
// form of an id.

// CustomField is one custom profile attribute.
type CustomField struct {
	ID, Name, Type string
	LDAP, SAML     string // the attribute that the server takes it from
}

func (s *Server) customFields(*request) reply {
	if len(s.opts.CustomFields) == 0 {
		return unlicensedCustom()
	}
	type attrs struct {
		LDAP string `json:"ldap,omitempty"`
		SAML string `json:"saml,omitempty"`
	}
	type field struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Type     string `json:"type"`
		Attrs    attrs  `json:"attrs"`
		DeleteAt int64  `json:"delete_at"`
	}
	list := []field{}
	for _, f := range s.opts.CustomFields {
		list = append(list, field{ID: f.ID, Name: f.Name, Type: f.Type, Attrs: attrs{f.LDAP, f.SAML}})
	}
	return ok(http.StatusOK, list)
}

func unlicensedCustom() reply {
	return fail(http.StatusForbidden, "api.custom_profile_attributes.license_error")
}

func (s *Server) customValues(q *request) reply {
	u := s.row(q, q.params["id"])
	switch {
	case len(s.opts.CustomFields) == 0:
		return unlicensedCustom()
	case u == nil:
		return fail(http.StatusNotFound, errMissingUser)
	}
	values := maps.Clone(u.custom)
	if values == nil {
		values = map[string]string{}
	}
	return ok(http.StatusOK, values)
}

func (s *Server) setCustomValues(q *request) reply {
	if len(s.opts.CustomFields) == 0 {
		return unlicensedCustom()
	}
	u := s.row(q, q.params["id"])
	if u == nil || !q.admin() {
		return forbidden()
	}
	in := map[string]string{}
	if err := q.decode(&in); err != nil {
		return badBody()
	}
	next := maps.Clone(u.custom)
	if next == nil {
		next = map[string]string{}
	}
	for id, v := range in {
		known := false
		for _, f := range s.opts.CustomFields {
			if f.ID != id {
				continue
			}
			if known = true; f.LDAP+f.SAML != "" {
				return fail(http.StatusBadRequest, "app.custom_profile_attributes.property_field_is_synced.app_error")
			}
			if is := strings.TrimSpace(v); f.Type == "user" && is != "" && !isID(is) {
				known = false
			}
		}
		if v = strings.TrimSpace(v); !known || len(v) > 64 {
			return fail(http.StatusBadRequest, "app.custom_profile_attributes.validate_value.app_error")
		}
		next[id] = v
	}
	row := copyUser(u)
	row.custom = next
	s.put(&row)
	return ok(http.StatusOK, in)
}

// Custom gives the values of an account's custom profile attributes by their ids.
func (s *Server) Custom(id string) map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if u := s.db.users[id]; u != nil {
		return maps.Clone(u.custom)
	}
	return nil
}
