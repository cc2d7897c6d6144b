package sources

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
)

func text(s string) Expr { return Expr{Source: s} }

func basicRules() Rules {
	return Rules{ID: text("attr.entryUUID"), Username: text("lower(attr.uid)"), Email: text("lower(attr.mail)")}
}

func person() Record {
	rec := Record{Ref: "uid=jdoe,ou=people,dc=example,dc=test"}
	rec.Add("entryUUID", "7c9e6679-7425-40de-944b-e07fc1f90ae7")
	rec.Add("uid", "JDoe")
	rec.Add("mail", "J.Doe@Example.test", "second@example.test")
	rec.Add("givenName", "Jörg")
	rec.Add("sn", "Döhring")
	rec.Add("title", "Engineer")
	rec.Add("userAccountControl", "514")
	rec.Add("objectGUID", "\x1e\xbc\xff\x1e\xa3\x4a\x9d\x4f\xa5\x08\xd4\xd8\x1f\x1f\x58\x73")
	return rec
}

func mustCompile(t testing.TB, r Rules) *Mapper {
	t.Helper()
	m, err := Compile("corp", r, CompileOptions{})
	require.NoError(t, err)
	return m
}

func TestCompile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Rules)
		want   []string
	}{
		"required expressions": {func(r *Rules) { *r = Rules{} }, []string{"id_attribute: is missing", "username_attribute: is missing", "email_attribute: is missing"}},
		"all faults at once, each with its place": {func(r *Rules) {
			r.Username = Expr{Source: "lowr(attr.uid)", Line: 12, Col: 25}
			r.Email = Expr{Source: "atr.mail", Line: 13, Col: 20}
			r.Nickname = Expr{Source: "attr.displayName +", Line: 14, Col: 1}
		}, []string{
			"12:25: username_attribute: there is no function lowr; did you mean lower?",
			"13:20: email_attribute: atr has no meaning here; did you mean attr?", "14:19: nickname_attribute: the expression ends too early",
		}},
		"a bare name is no text":        {func(r *Rules) { r.Email = text("mail") }, []string{"email_attribute, column 1: mail has no meaning here; an attribute is written attr.mail"}},
		"a list is not text":            {func(r *Rules) { r.Email = text("attrs.mail") }, []string{"gives a list where text is needed"}},
		"disabled_when must be boolean": {func(r *Rules) { r.DisabledWhen = Expr{Source: "attr.employeeType", Line: 9, Col: 18} }, []string{`9:18: disabled_when: gives text where true or false is needed; compare it`}},
		"when must be boolean":          {func(r *Rules) { r.Roles = []RoleRule{{Role: "system_admin", When: text("attr.title")}} }, []string{"roles[0].when, column 1: gives text"}},
		"no computed attribute name":    {func(r *Rules) { r.Nickname = text(`attr[attr.pick]`) }, []string{"the name of an attribute cannot be computed"}},
		"no whole map":                  {func(r *Rules) { r.Nickname = text(`string(size(attr))`) }, []string{"attr needs the name of an attribute"}},
		"no computed regex":             {func(r *Rules) { r.DisabledWhen = text(`attr.uid.matches(attr.title)`) }, []string{"the pattern of matches cannot be computed"}},
		"no broken regex":               {func(r *Rules) { r.DisabledWhen = text(`attr.uid.matches("(")`) }, []string{"disabled_when"}},
		"no loop named like a root":     {func(r *Rules) { r.DisabledWhen = text(`groups.exists(attr, attr == "x")`) }, []string{"attr has a meaning of its own here"}},
		"no endless expression":         {func(r *Rules) { r.Nickname = text(strings.Repeat("'a'+", maxExpression) + "'a'") }, []string{"nickname_attribute"}},
		"login data without service":    {func(r *Rules) { r.Auth = []AuthRule{{Data: text("attr.uid")}} }, []string{"auth[0].service: is missing"}},
		"login service without data":    {func(r *Rules) { r.Auth = []AuthRule{{Service: "ldap"}} }, []string{"auth[0].data: is missing"}},
		"a login is chosen by a boolean": {func(r *Rules) {
			r.Auth = []AuthRule{{Service: "ldap", When: text("attr.title"), Data: text("attr.uid")}}
		}, []string{"auth[0].when, column 1: gives text"}},
		"a role rule names somebody":     {func(r *Rules) { r.Roles = []RoleRule{{Role: "system_admin"}} }, []string{"roles[0]: has neither groups nor when"}},
		"the setting's own key is shown": {func(r *Rules) { r.Email = Expr{Source: "mail", Key: "sources[2].mapping.email_attribute"} }, []string{"sources[2].mapping.email_attribute, column 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := basicRules()
			c.change(&r)
			_, err := Compile("corp", r, CompileOptions{})
			require.Error(t, err)
			for _, w := range c.want {
				require.ErrorContains(t, err, w)
			}
			var e *ExprError
			require.ErrorAs(t, err, &e)
		})
	}
}

func TestCompile_SelfEditable(t *testing.T) {
	t.Parallel()
	r := basicRules()
	r.ID = Expr{Source: "attr.employeeNumber", Line: 3, Col: 9}
	r.Auth = []AuthRule{{Service: "saml", When: Expr{Source: `attr.title != "Admin"`, Line: 4, Col: 2}, Data: Expr{Source: "lower(attr.mail)", Line: 4, Col: 9}}}
	r.Roles = []RoleRule{{Role: "system_admin", When: Expr{Source: `attr.title == "Admin"`, Line: 5, Col: 9}}, {Role: "system_manager", Groups: []string{"cn=a,dc=b"}}}
	r.MatchKey = Expr{Source: "attr.title + attr.uid", Line: 6, Col: 3}
	r.SelfEditable = []Expr{text("EmployeeNumber"), text("mail"), text("attr.title"), text("displayName"), {Source: "memberOf", Line: 7, Col: 20}}
	_, err := Compile("corp", r, CompileOptions{})
	for _, w := range []string{
		"3:9: id_attribute: the anchor comes from EmployeeNumber, which people may change on themselves",
		"4:9: auth[0].data: the login identity comes from mail", "4:2: auth[0].when: the choice of the login comes from title",
		"5:9: roles[0].when: the role system_admin comes from title",
		"6:3: match_key: the match key comes from title",
		"7:20: self_editable: the role system_manager comes from groups",
	} {
		require.ErrorContains(t, err, w)
	}
	require.NotContains(t, err.Error(), "displayName")
}

func TestCompile_SelfEditable_elsewhere(t *testing.T) {
	t.Parallel()
	faults := func(self []Expr, change func(*Rules)) error {
		r := basicRules()
		r.SelfEditable = self
		change(&r)
		_, err := Compile("corp", r, CompileOptions{})
		return err
	}
	t.Run("what people are matched by must not be theirs to choose", func(t *testing.T) {
		t.Parallel()
		self := []Expr{{Source: "mail", Line: 2}, {Source: "uid", Line: 2}}
		require.NoError(t, faults(self, func(*Rules) {}), "they name people, which is no harm while nobody is matched by them")
		err := faults(self, func(r *Rules) { r.MatchedBy = []identity.Attribute{identity.Email, identity.Username} })
		require.ErrorContains(t, err, "the email, by which people are matched to accounts, comes from mail, which people may change on themselves (self_editable)")
		require.ErrorContains(t, err, "the username, by which people are matched to accounts, comes from uid")
	})
	t.Run("groups that people choose themselves give no role, however they are asked for", func(t *testing.T) {
		t.Parallel()
		err := faults([]Expr{{Source: "memberOf", Line: 2}}, func(r *Rules) {
			r.Roles = []RoleRule{{Role: "system_admin", When: text(`groups.exists(g, g == "cn=a")`)}}
		})
		require.ErrorContains(t, err, "the role system_admin comes from memberOf")
	})
	t.Run("what is assumed, not written, says how to say otherwise", func(t *testing.T) {
		t.Parallel()
		err := faults([]Expr{{Source: "telephoneNumber"}}, func(r *Rules) {
			r.Assumed = true
			r.Roles = []RoleRule{{Role: "system_admin", When: text(`attr.telephoneNumber == "1"`)}}
		})
		var e *ExprError
		require.ErrorAs(t, err, &e)
		require.Contains(t, e.Msg, "comes from telephoneNumber, which many directories let people change on themselves")
		require.Contains(t, e.Hint, "write self_editable with what people may change there, [] if nothing")
	})
}

func TestMapper_Identity_MatchKey(t *testing.T) {
	t.Parallel()
	r := basicRules()
	plain, err := mustCompile(t, r).Identity(person())
	require.NoError(t, err)
	require.Empty(t, plain.MatchKey)
	r.MatchKey = text("attr.title")
	m := mustCompile(t, r)
	require.Contains(t, m.Attributes(), "title")
	id, err := m.Identity(person())
	require.NoError(t, err)
	require.NotEmpty(t, id.MatchKey)
	require.NotEqual(t, plain.Hash, id.Hash, "a new match key is something new")
	r.Username = text("attr.nothing")
	id, err = mustCompile(t, r).Identity(person())
	require.NoError(t, err)
	require.NotEmpty(t, id.Fault)
	require.Empty(t, id.MatchKey, "of an entry with a fault nothing counts but whether it is active")
}

func TestMapper_Identity(t *testing.T) {
	t.Parallel()
	r := basicRules()
	r.FirstName, r.LastName = text("attr.givenName"), text("trim(attr.sn)")
	r.Position = text(`attr.title + (attr.department != "" ? " / " + attr.department : "")`)
	r.Auth = []AuthRule{{Service: "ldap", Data: text("attr.objectGUID.mm_guid()")}}
	r.Roles = []RoleRule{
		{Role: "system_admin", Groups: []string{"CN=Chat-Admins, OU=groups,dc=example,dc=test"}},
		{Role: "system_manager", Groups: []string{"cn=other,dc=x"}},
		{Role: "system_read_only_admin", When: text(`attr.title.startsWith("Eng")`)},
		{Role: "never", Groups: []string{"cn=chat-admins,ou=groups,dc=example,dc=test"}, When: text(`attr.title == "Boss"`)},
	}
	r.Guests = []RoleRule{{When: text(`attr.title == "Visitor"`)}, {Groups: []string{"cn=other,dc=x"}}, {Groups: []string{"cn=chat-admins,ou=groups,dc=example,dc=test"}}}
	m := mustCompile(t, r)
	require.Equal(t, []string{"department", "entryUUID", "givenName", "mail", "objectGUID", "sn", "title", "uid"}, m.Attributes())
	rec := person()
	rec.Groups = []string{"cn=chat-admins,ou=Groups,dc=example,dc=test"}
	got, err := m.Identity(rec)
	require.NoError(t, err)
	require.NotEmpty(t, got.Hash)
	require.Equal(t, identity.Identity{
		Key: identity.Key{Source: "corp", Anchor: "7c9e6679-7425-40de-944b-e07fc1f90ae7"}, Ref: rec.Ref, Active: true,
		Profile: identity.Profile{Username: "jdoe", Email: "j.doe@example.test", FirstName: "Jörg", LastName: "Döhring", Position: "Engineer"},
		Owned:   identity.AttributesOf(identity.Username, identity.Email, identity.FirstName, identity.LastName, identity.Position),
		Roles:   identity.NewRoles("system_admin", "system_guest", "system_read_only_admin"),
		Auth:    identity.Auth{Service: "ldap", Data: `\1e\bc\ff\1e\a3\4a\9d\4f\a5\08\d4\d8\1f\1f\58\73`},
		Hash:    got.Hash,
	}, got)

	moved := rec
	moved.Ref = "uid=jdoe,ou=elsewhere"
	same, err := m.Identity(moved)
	require.NoError(t, err)
	require.Equal(t, got.Hash, same.Hash, "a move is no change")
	rec.Groups = nil
	other, err := m.Identity(rec)
	require.NoError(t, err)
	require.NotEqual(t, got.Hash, other.Hash)
}

func TestMapper_Identity_faults(t *testing.T) {
	t.Parallel()
	without := func(name string) Record {
		rec, full := Record{Ref: "uid=x,dc=t"}, person()
		for _, n := range full.Names() {
			if n != name {
				rec.Add(n, full.Values(n)...)
			}
		}
		return rec
	}
	t.Run("an empty e-mail names the attribute and the entry", func(t *testing.T) {
		t.Parallel()
		r := basicRules()
		r.Email = text("attr.mail")
		id, err := mustCompile(t, r).Identity(without("mail"))
		require.NoError(t, err)
		require.Equal(t, "email is empty: mail has no value (uid=x,dc=t)", id.Fault)
		require.True(t, id.Active)
		require.Zero(t, id.Profile)
	})
	t.Run("no anchor is an error", func(t *testing.T) {
		t.Parallel()
		_, err := mustCompile(t, basicRules()).Identity(without("entryUUID"))
		require.EqualError(t, err, "the anchor is empty: entryUUID has no value")
	})
	t.Run("a binary value is no text", func(t *testing.T) {
		t.Parallel()
		r := basicRules()
		r.ID = text("attr.objectGUID")
		_, err := mustCompile(t, r).Identity(person())
		require.ErrorContains(t, err, "binary, not text")
	})
	t.Run("a NUL character is refused", func(t *testing.T) {
		t.Parallel()
		rec := without("uid")
		rec.Add("uid", "a\x00b")
		id, err := mustCompile(t, basicRules()).Identity(rec)
		require.NoError(t, err)
		require.Contains(t, id.Fault, "NUL")
	})
	t.Run("a leaver leaves whatever else is wrong with him", func(t *testing.T) {
		t.Parallel()
		r := basicRules()
		r.DisabledWhen = text("bit(attr.userAccountControl, 2)")
		r.Nickname = text("attr.nobody.guid() + string(int(attr.uid))")
		r.Roles = []RoleRule{{Role: "system_admin", Groups: []string{"cn=a,dc=b"}}}
		rec := without("mail")
		rec.GroupsFault = "groups could not be read"
		id, err := mustCompile(t, r).Identity(rec)
		require.NoError(t, err)
		require.False(t, id.Active)
		for _, w := range []string{"email", "nickname_attribute cannot be computed"} {
			require.Contains(t, id.Fault, w)
		}
		require.NotContains(t, id.Fault, "JDoe", "no attribute value in a fault")
	})
	t.Run("who may have left is held, not removed", func(t *testing.T) {
		t.Parallel()
		r := basicRules()
		r.DisabledWhen = text("bit(attr.title, 2)")
		id, err := mustCompile(t, r).Identity(person())
		require.NoError(t, err)
		require.True(t, id.Active)
		require.Contains(t, id.Fault, "disabled_when cannot be computed: bit needs a decimal number")
	})
	t.Run("unread groups are not the absence of groups", func(t *testing.T) {
		t.Parallel()
		r := basicRules()
		r.DisabledWhen = text(`!groups.exists(g, g.startsWith("cn=staff"))`)
		rec := person()
		rec.GroupsFault = "the groups could not be read: size limit"
		id, err := mustCompile(t, r).Identity(rec)
		require.NoError(t, err)
		require.True(t, id.Active)
		require.Contains(t, id.Fault, "the groups could not be read")
	})
	t.Run("unread groups keep back what they give, and nothing else", func(t *testing.T) {
		t.Parallel()
		for name, rule := range map[string]RoleRule{
			"named": {Role: "system_admin", Groups: []string{"cn=a,dc=b"}},
			"read":  {Role: "system_admin", When: text(`"cn=a,dc=b" in groups`)},
		} {
			r := basicRules()
			r.Roles = []RoleRule{{Role: "system_manager", When: text("true")}, rule}
			m := mustCompile(t, r)
			require.False(t, m.GroupsDecide(), name)
			rec := person()
			known, err := m.Identity(rec)
			require.NoError(t, err)
			rec.GroupsFault = "the groups could not be read: size limit"
			id, err := m.Identity(rec)
			require.NoError(t, err)
			require.Equal(t, rec.GroupsFault, id.RolesUnknown, name)
			require.Empty(t, id.Fault, name)
			require.Empty(t, id.Roles, "%s: one rule that is not known makes the whole unknown", name)
			require.Equal(t, known.Profile, id.Profile)
			require.NotEqual(t, known.Hash, id.Hash, "who has no roles is settled as somebody else than he whose roles are not known")
			r.Roles = nil
			without, err := mustCompile(t, r).Identity(rec)
			require.NoError(t, err)
			require.NotEqual(t, without.Hash, id.Hash)
		}
	})
	t.Run("groups that decide about more hold the person", func(t *testing.T) {
		t.Parallel()
		for name, change := range map[string]func(*Rules){
			"leaving": func(r *Rules) { r.DisabledWhen = text(`!("cn=staff" in groups)`) },
			"a field": func(r *Rules) { r.Nickname = text(`"cn=staff" in groups ? "staff" : ""`) },
			"a login": func(r *Rules) {
				r.Auth = []AuthRule{{Service: "saml", When: text(`"cn=staff" in groups`), Data: text("attr.uid")}}
			},
		} {
			r := basicRules()
			change(&r)
			m := mustCompile(t, r)
			require.True(t, m.GroupsDecide(), name)
			rec := person()
			rec.GroupsFault = "the groups could not be read: size limit"
			id, err := m.Identity(rec)
			require.NoError(t, err)
			require.Contains(t, id.Fault, rec.GroupsFault, name)
			require.Empty(t, id.RolesUnknown, name)
		}
		m, err := Compile("corp", basicRules(), CompileOptions{Pilot: []string{"cn=pilot"}})
		require.NoError(t, err)
		require.True(t, m.GroupsDecide(), "whom a run is about")
	})
	t.Run("a costly expression is stopped", func(t *testing.T) {
		t.Parallel()
		r := basicRules()
		r.DisabledWhen = text(`groups.exists(a, groups.exists(b, a + b == "x"))`)
		rec := person()
		for i := range 2000 {
			rec.Groups = append(rec.Groups, fmt.Sprint("cn=group", i))
		}
		id, err := mustCompile(t, r).Identity(rec)
		require.NoError(t, err)
		require.Contains(t, id.Fault, "cost limit")
		require.True(t, id.Active)
	})
}

func TestMapper_Identity_login(t *testing.T) {
	t.Parallel()
	rules := func(auth ...AuthRule) *Mapper {
		r := basicRules()
		r.Auth = auth
		return mustCompile(t, r)
	}
	engineer := text(`attr.title == "Engineer"`)
	clerk := text(`attr.title == "Clerk"`)
	for name, c := range map[string]struct {
		auth  []AuthRule
		want  identity.Auth
		fault string
	}{
		"the first rule that matches counts": {
			auth: []AuthRule{{"ldap", clerk, text("attr.uid")}, {"saml", engineer, text("lower(attr.mail)")}, {"openid", Expr{}, text("attr.uid")}},
			want: identity.Auth{Service: "saml", Data: "j.doe@example.test"},
		},
		"a rule without a condition is for everybody": {
			auth: []AuthRule{{"openid", Expr{}, text("attr.uid")}, {"saml", engineer, text("attr.mail")}},
			want: identity.Auth{Service: "openid", Data: "JDoe"},
		},
		"whom no rule is for keeps his login": {auth: []AuthRule{{"saml", clerk, text("attr.mail")}}},
		"no rules say nothing":                {},
		"empty login data is the entry's fault": {
			auth:  []AuthRule{{"saml", engineer, text("attr.eppn")}, {"openid", Expr{}, text("attr.uid")}},
			fault: "login data is empty: eppn has no value (uid=jdoe,ou=people,dc=example,dc=test)",
		},
		"the data of a rule that is not for him does not matter": {
			auth: []AuthRule{{"saml", clerk, text("attr.eppn")}, {"openid", Expr{}, text("attr.uid")}},
			want: identity.Auth{Service: "openid", Data: "JDoe"},
		},
		"a rule that cannot be judged is not passed over": {
			auth:  []AuthRule{{"saml", text("bit(attr.title, 2)"), text("attr.mail")}, {"openid", Expr{}, text("attr.uid")}},
			fault: "auth[0].when cannot be computed: bit needs a decimal number (uid=jdoe,ou=people,dc=example,dc=test)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := rules(c.auth...).Identity(person())
			require.NoError(t, err)
			require.True(t, id.Active)
			require.Equal(t, c.want, id.Auth)
			require.Equal(t, c.fault, id.Fault)
		})
	}
	m := rules(AuthRule{"saml", clerk, text("attr.eppn")})
	require.Equal(t, []string{"entryUUID", "eppn", "mail", "title", "uid"}, m.Attributes(), "what conditions and data name is read")
}

func TestMapper_CheckNames(t *testing.T) {
	t.Parallel()
	r := basicRules()
	r.Email = Expr{Source: "lower(attr.mial)", File: "mmsync.yaml", Line: 7, Col: 22}
	known := func(n string) bool { return n != "mial" }
	err := mustCompile(t, r).CheckNames(known, "uid", "mail", "title")
	require.EqualError(t, err, "mmsync.yaml:7:33: email_attribute: the source has no attribute mial; did you mean mail?")
	var e *ExprError
	require.ErrorAs(t, err, &e)
	require.NoError(t, mustCompile(t, basicRules()).CheckNames(known))
}

func TestMapper_Eval(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	m, err := Compile("corp", basicRules(), CompileOptions{Now: func() time.Time { return at }})
	require.NoError(t, err)
	rec := person()
	rec.Groups = []string{"cn=a", "cn=b"}
	for expr, want := range map[string]string{
		`attr.objectGUID.guid()`:                        "1effbc1e-4aa3-4f9d-a508-d4d81f1f5873",
		`"1EFFBC1E-4aa3-4f9d-a508-d4d81f1f5873".guid()`: "1effbc1e-4aa3-4f9d-a508-d4d81f1f5873",

		`attr.absent`:                         "",
		`attr.MAIL`:                           "J.Doe@Example.test",
		`row.mail`:                            "J.Doe@Example.test",
		`attr["mail"]`:                        "J.Doe@Example.test",
		"attr.`ms-DS-ConsistencyGuid`":        "",
		`has(attr.mail) && !has(attr.absent)`: "true",
		`attrs.mail`:                          "J.Doe@Example.test\nsecond@example.test",

		`attrs.mail.filter(m, m.endsWith("example.test"))`: "second@example.test",
		`groups.join("|")`:                                         "cn=a|cn=b",
		`source + "-" + slug(attr.givenName, 3)`:                   "corp-jor",
		`slug("Łukasz  Straße!", 22)`:                              "lukasz-strasse",
		`slug("--a.b_c--", 22)`:                                    "a.b_c",
		`upper(attr.title).replace("ENGINEER", "E")`:               "E",
		`attr.mail.split("@")[1]`:                                  "Example.test",
		`bit(attr.userAccountControl, 2)`:                          "true",
		`bit(attr.userAccountControl, 16)`:                         "false",
		`bit(attr.absent, 2)`:                                      "false",
		`orValue(attr.absent, "en")`:                               "en",
		`attr.uid.matches("^[A-Z]")`:                               "true",
		`fileTimePast("0") || fileTimePast("9223372036854775807")`: "false",
		`fileTimePast("133000000000000000")`:                       "true", // 2022
		`timePast("20260531235959Z") && !timePast("2026-06-01")`:   "true",
		`timePast("20260531235959.0Z") && !timePast("")`:           "true", // as Active Directory writes it
		`timeAhead("20260901000000Z") && timeAhead("2026-06-02")`:  "true",
		`timeAhead("") || timeAhead("20200101000000Z")`:            "false",
		`daysPast("20605") && !daysPast("20606")`:                  "true", // 2026-06-01 and the day after
		`daysPast("") || daysPast("-1")`:                           "false",
		`lockedForGood("000001010000Z")`:                           "true",
		`lockedForGood("20260601100000Z") || lockedForGood("")`:    "false", // a lockout
		`isTrue("TRUE") && isTrue("true") && isTrue("1")`:          "true",
		`isTrue("FALSE") || isTrue("")`:                            "false",
	} {
		got, err := m.Eval(expr, rec)
		require.NoError(t, err, expr)
		require.Equal(t, want, got, expr)
	}
	_, err = m.Eval(`attr.title.guid()`, rec)
	require.ErrorContains(t, err, "guid needs 16 bytes")
	for expr, want := range map[string]string{
		`daysPast("0")`:              "write -1 for never",
		`daysPast("x")`:              "needs a number of days",
		`daysPast("-5")`:             "needs a number of days",
		`isTrue("perhaps")`:          "needs TRUE or FALSE",
		`lockedForGood("yes")`:       "needs a pwdAccountLockedTime",
		`timeAhead("tomorrow")`:      "needs a generalized time",
		`fileTimePast("2026-01-01")`: "needs a decimal number",
	} {
		_, err := m.Eval(expr, rec)
		require.ErrorContains(t, err, want, expr)
	}
	_, err = m.Eval(`nope`, rec)
	require.ErrorContains(t, err, "nope has no meaning here")
}

// The short cuts exist for speed only: whatever expression has one, the engine
// gives the same answer and the same error.
func TestProgram_shortcutEqualsEngine(t *testing.T) {
	t.Parallel()
	m := mustCompile(t, basicRules())
	values := []string{"", "a", " A ", "Jörg", "514", "\xff\xfe", "0123456789abcdef", "1effbc1e-4aa3-4f9d-a508-d4d81f1f5873", "ẞß", "x'y"}
	texts := []string{
		`attr.v`, `row.v`, `attr["v"]`, `"const"`, `lower(attr.v)`, `upper(attr.v)`, `trim(attr.v)`, `lower(trim(attr.v))`, `trim(lower(attr.w))`,
		`attr.v.guid()`, `attr.v.mm_guid()`, `slug(attr.v, 5)`, `slug(attr.v, 0)`, `orValue(attr.v, attr.w)`, `attr.v + "-" + lower(attr.w)`, `lower(attr.v.guid())`,
	}
	truths := []string{`bit(attr.v, 2)`, `attr.v == "a"`, `lower(attr.v) != attr.w`, `bit("x" + attr.v, 1)`}
	for _, source := range append(texts, truths...) {
		p, errs := m.engine.compile("x", text(source), nil)
		require.Empty(t, errs, source)
		require.True(t, p.text != nil || p.truth != nil, "%s has no short cut", source)
		for _, v := range values {
			for _, w := range values {
				var rec Record
				rec.Add("V", v)
				rec.Add("w", w)
				slow, slowErr := p.evalAny("corp", &rec)
				var quick any
				var quickErr error
				if p.text != nil {
					quick, quickErr = p.text(&rec)
				} else {
					quick, quickErr = p.truth(&rec)
				}
				if slowErr != nil || quickErr != nil {
					require.EqualError(t, quickErr, slowErr.Error(), "%s of %q, %q", source, v, w)
					continue
				}
				require.Equal(t, slow.Value(), quick, "%s of %q, %q", source, v, w)
			}
		}
	}
	for _, source := range []string{`attr.v.trim()`, `attr.v == "a" || attr.w == "b"`, `has(attr.v)`, `attrs.v[0]`, `string(size(attrs.v))`} {
		p, errs := m.engine.compile("x", text(source), nil)
		require.Empty(t, errs)
		require.True(t, p.text == nil && p.truth == nil, "%s must keep the engine", source)
	}
}

func TestDNKey(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"cn=Chat Admins,ou=Groups,dc=example,dc=test", "CN=chat admins, OU=groups , DC=Example,DC=test", "cn=chat  admins,ou=groups,dc=example,dc=test"},
		{`cn=Doe\, Jane,dc=t`, `cn=doe\2c jane,dc=t`, `CN=Doe\,  Jane, dc=t`},
		{`cn=Jörg,dc=t`, `cn=J\C3\B6rg,dc=t`, "cn=Jo\u0308rg,dc=t"},
		{`cn=a+uid=b,dc=t`, `UID=b + cn=A,dc=t`},
		{`cn=a=b,dc=t`, `cn=a\=b, dc=t`},
		{"Chat Admins", "chat  admins "},
		{"cn=a,ou=b,dc=t", "commonName=A,organizationalUnitName=b,domainComponent=t", "2.5.4.3=a,OID.2.5.4.11=b,0.9.2342.19200300.100.1.25=t"},
		{"uid=a,dc=t", "userid=a,dc=t"},
	} {
		for _, s := range same[1:] {
			require.Equal(t, DNKey(same[0]), DNKey(s), s)
		}
	}
	require.NotEqual(t, DNKey("cn=a,dc=t"), DNKey("cn=b,dc=t"))
	require.NotEqual(t, DNKey(`cn=a\,dc=t`), DNKey(`cn=a,dc=t`))
	require.NotEqual(t, DNKey("cn=Weiß,dc=t"), DNKey("cn=Weiss,dc=t"), "a server may keep the two apart")
}

func TestLooseDNKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b    string
		certain bool // of a
	}{
		{"cn=Weiss,dc=t", "cn=Weiß,dc=t", true},
		{"cn=Weiß,dc=t", "CN=WEISS, dc=t", false},
		{"cn=J\u00f6rg,dc=t", "cn=Jorg,dc=t", false},
		{"cn=ﬁsch,dc=t", "cn=Fisch,dc=t", false},
		{"1.2.3.4=x,dc=t", "name=X,dc=t", false},
		{"telephoneNumber=1 2,dc=t", "telephoneNumber=12,dc=t", true},
	} {
		require.Equal(t, LooseDNKey(c.a), LooseDNKey(c.b), c.a)
		require.NotEqual(t, DNKey(c.a), DNKey(c.b), c.a)
		require.Equal(t, c.certain, CertainDN(c.a), c.a)
	}
	require.NotEqual(t, LooseDNKey("cn=a,dc=t"), LooseDNKey("cn=b,dc=t"))
}

func FuzzCompileIdentity(f *testing.F) {
	for _, s := range []string{"attr.uid", `lower(attr.mail)`, `slug(attr.a, 22)`, `attr["a b"]`, `groups.map(g, g + "x").join(",")`, `attr.a.guid()`, "attr.`a-b`", `"\xff"`, `bit(attr.a, 2)`} {
		f.Add(s, "value", "cn=a,dc=b")
	}
	f.Fuzz(func(t *testing.T, expr, value, group string) {
		r := basicRules()
		r.Nickname, r.DisabledWhen = text(expr), text(expr)
		r.Roles = []RoleRule{{Role: "system_admin", Groups: []string{group}}}
		rec := person()
		rec.Add("a", value)
		rec.Groups = []string{value, group}
		for _, change := range []func(*Rules){func(r *Rules) { r.Nickname = Expr{} }, func(r *Rules) { r.DisabledWhen = Expr{} }} {
			r := r
			change(&r)
			m, err := Compile("corp", r, CompileOptions{})
			if err != nil {
				continue
			}
			id, err := m.Identity(rec)
			require.NoError(t, err)
			again, err := m.Identity(rec)
			require.NoError(t, err)
			require.Equal(t, id, again)
		}
	})
}

func BenchmarkMapper_Identity(b *testing.B) {
	r := basicRules()
	r.FirstName, r.LastName, r.Nickname = text("attr.givenName"), text("attr.sn"), text("attr.displayName")
	r.DisabledWhen = text(`attr.employeeType == "disabled"`)
	computed := r
	computed.Position = text(`attr.title + (attr.department != "" ? " / " + attr.department : "")`)
	r.Position = text("attr.title")
	for name, rules := range map[string]Rules{"plain": r, "one computed": computed} {
		b.Run(name, func(b *testing.B) {
			m, rec := mustCompile(b, rules), person()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Identity(rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A lockout is what anybody can cause with wrong passwords: no expression may take it
// for leaving.
func TestCompile_lockout(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`attr.lockoutTime != "0"`: "1:5: disabled_when: lockoutTime tells of a lockout, by which nobody has left; leave it out: a lockout passes",
		`bit(attr.userAccountControl, 2) || fileTimePast(attr.LOCKOUTTIME)`:     "LOCKOUTTIME tells of a lockout",
		`bit(attr["msDS-User-Account-Control-Computed"], 16)`:                   "leave bit 16 out of the mask: a lockout passes by itself",
		`bit(attr["msDS-User-Account-Control-Computed"], 8388624)`:              "leave bit 16 out",
		`attr.pwdAccountLockedTime != ""`:                                       "write lockedForGood(attr.pwdAccountLockedTime)",
		`has(attr.pwdAccountLockedTime)`:                                        "write lockedForGood(attr.pwdAccountLockedTime)",
		`attrs.accountUnlockTime.size() > 0`:                                    "accountUnlockTime tells of a lockout",
		`attr.pwdAccountLockedTime == "20260101000000Z"`:                        "write lockedForGood",
		`bit(attr["msDS-User-Account-Control-Computed"], 8388608)`:              "",
		`attr.pwdAccountLockedTime == "000001010000Z"`:                          "",
		`lockedForGood(attr.pwdAccountLockedTime) || timePast(attr.pwdEndTime)`: "",
		`bit(attr.userAccountControl, 2) || fileTimePast(attr.accountExpires)`:  "",
		`isTrue(attr.nsAccountLock) || timePast(attr.krbPrincipalExpiration)`:   "",
		`daysPast(attr.shadowExpire) || attr.loginShell.endsWith("/nologin")`:   "",
		`attr.sambaAcctFlags.contains("D") || timeAhead(attr.pwdStartTime)`:     "",
	} {
		r := basicRules()
		r.DisabledWhen = Expr{Source: expr, Line: 1, Col: 1}
		_, err := Compile("corp", r, CompileOptions{})
		if want == "" {
			require.NoError(t, err, expr)
			continue
		}
		require.ErrorContains(t, err, want, expr)
	}
}
