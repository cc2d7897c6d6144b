package mattermost

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Custom profile attributes, which Mattermost calls user attributes. Only the refusal of
// a server without a licence was recorded (11.6: 403, 5.38: 404); the rest follows the
// server's source (api4/custom_profile_attributes.go, model/custom_profile_attributes.go)
// and its documentation: at most 20 attributes, texts of at most 64 bytes, and from 11.0
// on an administrator may set those of others. The value of one of type user is the id of
// an account, or "".

// maxCustom is how many bytes the value of a text may have.
const maxCustom = 64

// Types of user attributes (model/property_field.go).
const (
	typeText   = "text"
	typePerson = "user"
)

// CustomField is one user attribute that the server has.
type CustomField struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
	// Attrs say where its values come from.
	Attrs struct {
		LDAP string `json:"ldap"`
		SAML string `json:"saml"`
	} `json:"attrs"`
	DeleteAt int64 `json:"delete_at"`
}

// unsettable says why values of a kind, typeText or typePerson, cannot be set; "" if they
// can.
func (f *CustomField) unsettable(kind string) string {
	switch {
	case f.Attrs.LDAP != "":
		return "Mattermost takes it from its own LDAP sync"
	case f.Attrs.SAML != "":
		return "Mattermost takes it from SAML"
	case f.Type == kind:
		return ""
	case kind == typePerson:
		return "it is of type " + quoteShort(f.Type) + ", and a person is set in one of type \"user\""
	case f.Type == typePerson:
		return "it is of type \"user\", which person_attributes sets"
	}
	return "it is of type " + quoteShort(f.Type) + ", and only texts are set"
}

// CustomFields gives the user attributes that the server has.
func (c *Client) CustomFields(ctx context.Context) ([]CustomField, error) {
	var list []CustomField
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/custom_profile_attributes/fields", decode: into(&list)})
	return list, err
}

// Custom gives the values of an account's user attributes by the attributes' ids. Values
// that are no text are left out.
func (c *Client) Custom(ctx context.Context, id string) (map[string]string, error) {
	if err := checkID("read user attributes", id); err != nil {
		return nil, err
	}
	values := map[string]any{}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/users/" + id + "/custom_profile_attributes", decode: into(&values)})
	out := map[string]string{}
	for k, v := range values {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out, err
}

// SetCustom sets user attributes of an account, by the attributes' ids; those that are
// not named stay. ctx governs it until it leaves.
func (c *Client) SetCustom(ctx context.Context, id string, values map[string]string) error {
	const op = "set user attributes"
	if err := checkID(op, id); err != nil {
		return err
	}
	if len(values) == 0 {
		return &RequestError{op, "nothing to set"}
	}
	_, err := c.do(ctx, call{
		method: http.MethodPatch, path: "/users/" + id + "/custom_profile_attributes", body: values, write: true, account: id,
	})
	return err
}

// customFacts finds out which user attributes can be set, or why none can.
func (t *Target) customFacts(ctx context.Context, facts *plan.Facts) error {
	if v := t.c.Version(); !v.IsZero() && !v.AtLeast(11, 0) {
		facts.CustomOff = "this server (" + v.told() + ") lets nobody set those of others; 11.0 and later do"
		return nil
	}
	list, err := t.c.CustomFields(ctx)
	switch e, ok := asAPI(err); {
	case ok && e.Status == http.StatusForbidden:
		facts.CustomOff = "this server has no licence for them; they take Enterprise"
		return nil
	case unknownRoute(err):
		facts.CustomOff = "this server does not have them"
		return nil
	case err != nil:
		return err
	}
	facts.CustomFields, facts.CustomPeople = map[string]string{}, map[string]string{}
	ids := map[string]string{}
	for i := range list {
		if f := &list[i]; f.DeleteAt == 0 {
			facts.CustomFields[f.Name], facts.CustomPeople[f.Name], ids[f.Name] = f.unsettable(typeText), f.unsettable(typePerson), f.ID
		}
	}
	t.custom.Store(&ids)
	return nil
}

func (t *Target) setCustom(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	ids := t.custom.Load()
	if ids == nil {
		return identity.Account{}, &RequestError{string(op.Kind), "nobody has asked which user attributes there are"}
	}
	values := map[string]string{}
	for _, c := range op.Changes {
		name, ok := c.Field.Custom()
		if field := (*ids)[name]; !ok || field == "" {
			return identity.Account{}, &RequestError{string(op.Kind), fmt.Sprintf("there is no user attribute %s", quoteShort(name))}
		}
		values[(*ids)[name]] = c.To
	}
	if err := t.c.SetCustom(ctx, id, values); err != nil {
		return identity.Account{}, err
	}
	after, cancel := t.afterwards(ctx)
	defer cancel()
	var failed error
	a, err := t.readBack(ctx, id, func(identity.Account) *MismatchError {
		var is map[string]string
		if is, failed = t.c.Custom(after, id); failed != nil {
			return nil
		}
		for field, want := range maps.All(values) {
			if is[field] != want {
				return &MismatchError{AccountID: id, Field: "user attribute", Want: want, Got: is[field]}
			}
		}
		return nil
	})
	if failed != nil {
		return identity.Account{}, &UnverifiedError{AccountID: id, Err: failed}
	}
	return a, err
}

// canonicalCustom brings values into the form that the server stores.
func canonicalCustom(values map[string]string) map[string]string {
	if values == nil {
		return nil
	}
	out := make(map[string]string, len(values))
	for name, v := range values {
		v = strings.TrimSpace(stripInvisible(v))
		for len(v) > maxCustom {
			_, size := utf8.DecodeLastRuneInString(v)
			v = v[:len(v)-size]
		}
		out[name] = strings.TrimSpace(v)
	}
	return out
}
