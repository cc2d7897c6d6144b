package mattermost_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func wanted(f identity.Attribute, v string) identity.Identity {
	return identity.Identity{Owned: identity.AttributesOf(f), Profile: identity.Profile{}.With(f, v)}
}

func TestCanonical_values(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 200)
	for name, c := range map[string]struct {
		field    identity.Attribute
		in, want string
		fault    string // a part of it
		unowned  bool
	}{
		"username: lower case":                    {identity.Username, "Ada.Lovelace", "ada.lovelace", "", false},
		"username: a leading digit is fine":       {identity.Username, "007", "007", "", false},
		"username: one letter is fine":            {identity.Username, "a", "a", "", false},
		"username: 64 are fine":                   {identity.Username, strings.Repeat("a", 64), strings.Repeat("a", 64), "", false},
		"username: 65 are not":                    {identity.Username, strings.Repeat("a", 65), strings.Repeat("a", 65), "it has 65 characters and Mattermost takes 64", false},
		"username: a space":                       {identity.Username, "ada l", "ada l", "takes only a-z", false},
		"username: an umlaut":                     {identity.Username, "müller", "müller", "takes only a-z", false},
		"username: an address":                    {identity.Username, "ada@example.test", "ada@example.test", "takes only a-z", false},
		"username: empty":                         {identity.Username, "", "", "would invent one", false},
		"username: reserved":                      {identity.Username, "Channel", "channel", "reserves this name", false},
		"username: here is not reserved":          {identity.Username, "here", "here", "", false},
		"username: parked":                        {identity.Username, "mmsync-parked-x", "mmsync-parked-x", "renames in progress", false},
		"e-mail: trimmed and lower case":          {identity.Email, " Ada@Example.TEST ", "ada@example.test", "", false},
		"e-mail: no domain dot needed":            {identity.Email, "a@localhost", "a@localhost", "", false},
		"e-mail: non-ASCII":                       {identity.Email, "müller@exämple.test", "müller@exämple.test", "", false},
		"e-mail: empty":                           {identity.Email, " ", "", "every Mattermost account needs one", false},
		"e-mail: display form":                    {identity.Email, "Ada <a@b.test>", "ada <a@b.test>", "does not take it for an address", false},
		"e-mail: two @":                           {identity.Email, "a@b@c", "a@b@c", "does not take it for an address", false},
		"e-mail: dot before @":                    {identity.Email, "a.@b.test", "a.@b.test", "does not take it for an address", false},
		"e-mail: quoted local part":               {identity.Email, `"a b"@c.test`, `"a b"@c.test`, "does not take it for an address", false},
		"e-mail: no @":                            {identity.Email, "ada", "ada", "does not take it for an address", false},
		"e-mail: 129 bytes":                       {identity.Email, strings.Repeat("a", 118) + "@b.test.org", strings.Repeat("a", 118) + "@b.test.org", "longer than the 128 bytes", false},
		"first name: cut at 64 characters":        {identity.FirstName, long, strings.Repeat("ü", 64), "", false},
		"last name: cut at 64 characters":         {identity.LastName, long, strings.Repeat("ü", 64), "", false},
		"nickname: cut at 64 characters":          {identity.Nickname, long, strings.Repeat("ü", 64), "", false},
		"position: cut at 128 characters":         {identity.Position, long, strings.Repeat("ü", 128), "", false},
		"names: bidi controls go":                 {identity.FirstName, "a\u202eb\u2066c\u2069", "abc", "", false},
		"names: NUL and broken bytes go":          {identity.LastName, "a\x00b\xffc", "abc", "", false},
		"names: blanks and zero width stay":       {identity.Nickname, " x\u200by\tz ", " x\u200by\tz ", "", false},
		"names: marks of right-to-left stay":      {identity.Nickname, "\u200fא", "\u200fא", "", false},
		"position: bidi controls go":              {identity.Position, "a\u202e", "a", "", false},
		"locale: known":                           {identity.Locale, "de", "de", "", false},
		"locale: another case and separator":      {identity.Locale, "PT_br", "pt-BR", "", false},
		"locale: the region falls away":           {identity.Locale, "de-AT", "de", "", false},
		"locale: POSIX":                           {identity.Locale, "de_DE.UTF-8", "de", "", false},
		"locale: unknown is not owned":            {identity.Locale, "tlh", "tlh", "", true},
		"locale: empty is not owned":              {identity.Locale, "", "", "", true},
		"time zone: known":                        {identity.Timezone, " Europe/Berlin ", "Europe/Berlin", "", false},
		"time zone: UTC":                          {identity.Timezone, "UTC", "UTC", "", false},
		"time zone: unknown is not owned":         {identity.Timezone, "W. Europe Standard Time", "W. Europe Standard Time", "", true},
		"time zone: that of this machine is none": {identity.Timezone, "Local", "Local", "", true},
		"time zone: a path is none":               {identity.Timezone, "../UTC", "../UTC", "", true},
		"time zone: empty is not owned":           {identity.Timezone, "", "", "", true},
		"locale: Chinese without a script is no":  {identity.Locale, "zh", "zh", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mattermost.Canonical(wanted(c.field, c.in))
			require.Equal(t, c.want, got.Profile.Value(c.field))
			require.Equal(t, !c.unowned, got.Owned.Has(c.field))
			if c.fault == "" {
				require.Empty(t, got.Fault)
			} else {
				require.Contains(t, got.Fault, c.fault)
				require.True(t, strings.HasPrefix(got.Fault, string(c.field)), "it names the attribute: %s", got.Fault)
			}
		})
	}
}

func TestCanonical_auth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		auth  identity.Auth
		fault string
	}{
		"silence is fine":             {identity.Auth{}, ""},
		"saml":                        {identity.Auth{Service: "saml", Data: " Ada "}, ""},
		"email would lock out":        {identity.Auth{Service: "email", Data: "x"}, "no such login"},
		"an invented word, too":       {identity.Auth{Service: "SAML", Data: "x"}, "no such login"},
		"magic links are the other's": {identity.Auth{Service: "magic_link", Data: "x"}, "no such login"},
		"no data":                     {identity.Auth{Service: "ldap"}, "nobody could log in"},
		"no service":                  {identity.Auth{Data: "x"}, "no login service"},
		"128 bytes":                   {identity.Auth{Service: "ldap", Data: strings.Repeat("x", 128)}, ""},
		"129 bytes":                   {identity.Auth{Service: "ldap", Data: strings.Repeat("x", 129)}, "longer than the 128 bytes"},
		"bytes that are no text":      {identity.Auth{Service: "ldap", Data: "\x00\x01"}, "not text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mattermost.Canonical(identity.Identity{Auth: c.auth})
			require.Equal(t, c.auth, got.Auth, "auth data is never changed")
			if c.fault == "" {
				require.Empty(t, got.Fault)
			} else {
				require.Contains(t, got.Fault, c.fault)
			}
		})
	}
}

func TestCanonical_leavesAlone(t *testing.T) {
	t.Parallel()
	i := identity.Identity{
		Key: identity.Key{Source: "s", Anchor: "a"}, Ref: "cn=x", Active: true, Hash: "h", Fault: "first",
		Owned: identity.AttributesOf(identity.Username), Profile: identity.Profile{Username: "ÄÖ", Nickname: "\u202e"},
	}
	require.Equal(t, i, mattermost.Canonical(i), "a fault of the mapping stands")
	i.Fault, i.Profile.Username = "", "ok"
	require.Equal(t, i, mattermost.Canonical(i), "what is not owned is not looked at")
	i.Roles = identity.Roles{"system_user", "system_admin", "system_user"}
	require.Equal(t, identity.Roles{"system_admin", "system_user"}, mattermost.Canonical(i).Roles)
}

// What Canonical lets through, the server must store as it is.
func TestCanonical_converges(t *testing.T) {
	t.Parallel()
	_, target := simulated(t, mmsim.Options{})
	in := identity.Identity{
		Owned: identity.AttributesOf(identity.AllAttributes()...),
		Profile: identity.Profile{
			Username: "Ada.L", Email: " ADA@Example.TEST", FirstName: "a\u202eb\tc ", LastName: strings.Repeat("é", 70),
			Nickname: "\ufeffx\x00", Position: strings.Repeat("中", 130), Locale: "de_AT",
		},
	}
	c := target.Canonical(in)
	require.Empty(t, c.Fault)
	o := create("x")
	o.Changes = o.Changes[2:]
	for _, f := range c.Owned.List() {
		o.Changes = append(o.Changes, change(string(f), "", c.Profile.Value(f)))
	}
	a := mustApply(t, target, "", o)
	require.Equal(t, c.Profile, a.Profile)
}

// Every character that the server is known to remove, and its neighbours.
func TestCanonical_convergesAtTheEdges(t *testing.T) {
	t.Parallel()
	var edges []rune
	ranges := [][2]rune{
		{0x0001, 0x0020},
		{0x007F, 0x00A0},
		{0x0340, 0x0341},
		{0x17A3, 0x17A3},
		{0x17D3, 0x17D3},
		{0x200B, 0x2010},
		{0x2028, 0x202E},
		{0x2066, 0x206F},
		{0xFEFF, 0xFEFF},
		{0xFFF9, 0xFFFC},
		{0x1D173, 0x1D17A},
		{0xE0000, 0xE0002},
		{0xE007E, 0xE007F},
	}
	for _, r := range ranges {
		for c := r[0] - 1; c <= r[1]+1; c++ {
			edges = append(edges, c)
		}
	}
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", create("ada"))
			for i := 0; i < len(edges); i += 30 {
				v := strings.Join(strings.Split(string(edges[i:min(i+30, len(edges))]), ""), "x")
				for _, f := range []identity.Attribute{identity.FirstName, identity.LastName, identity.Nickname, identity.Position} {
					c := target.Canonical(wanted(f, v))
					mustApply(t, target, a.ID, op(plan.PatchProfile, change(string(f), "was", c.Profile.Value(f))))
				}
			}
		})
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("Ada", "ada@example.test", "Ada", "de_AT", "saml", "x", "system_user")
	f.Add("İx", "İ@K.test", "a\u202e\x00\xff", "zh-Hant-TW", "", "y", "")
	f.Add("mmsync-parked-", "\"a\"@b", strings.Repeat("é", 99), "en_AU.UTF-8", "email", "", "a b")
	f.Fuzz(func(t *testing.T, username, email, text, locale, service, data, role string) {
		i := identity.Identity{
			Owned:   identity.AttributesOf(identity.AllAttributes()...),
			Profile: identity.Profile{Username: username, Email: email, FirstName: text, LastName: text, Nickname: text, Position: text, Locale: locale},
			Auth:    identity.Auth{Service: service, Data: data},
			Roles:   identity.Roles{role},
		}
		once := mattermost.Canonical(i)
		twice := mattermost.Canonical(once)
		if !reflect.DeepEqual(once, twice) {
			t.Fatalf("not the same when applied twice:\n%+v\n%+v", once, twice)
		}
		// Values that stand although there is a fault must be the same as well.
		once.Fault = ""
		if again := mattermost.Canonical(once); !reflect.DeepEqual(again.Profile, once.Profile) {
			t.Fatalf("values change again:\n%+v\n%+v", once.Profile, again.Profile)
		}
		p := once.Profile
		if utf8.RuneCountInString(p.FirstName) > 64 || utf8.RuneCountInString(p.Position) > 128 || !utf8.ValidString(p.Nickname) {
			t.Fatalf("over the server's limits: %+v", p)
		}
	})
}
