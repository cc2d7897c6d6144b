package filter_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// object is a schema of JSON objects: fields by their names in lower case.
type object map[string]filter.Field

var errUnknown = errors.New("no such attribute")

func (o object) Field(a filter.Attr) (filter.Field, error) {
	name := a.Name
	if a.URN != "" {
		name = a.URN + ":" + name
	}
	f, ok := o[strings.ToLower(name)]
	if !ok {
		return filter.Field{}, errUnknown
	}
	f.Values = values(name)
	if a.Sub == "" {
		return f, nil
	}
	if f.Element == nil {
		return filter.Field{}, errUnknown
	}
	inner, err := f.Element.Field(filter.Attr{Name: a.Sub})
	elements, of := f.Values, inner.Values
	inner.Values = func(item any) []any {
		var all []any
		for _, element := range elements(item) {
			all = append(all, of(element)...)
		}
		return all
	}
	return inner, err
}

// values reads a member of a JSON object, a list being several.
func values(name string) func(any) []any {
	return func(item any) []any {
		members, _ := item.(map[string]any)
		for key, value := range members {
			if !strings.EqualFold(key, name) || value == nil {
				continue
			}
			if list, ok := value.([]any); ok {
				return list
			}
			return []any{value}
		}
		return nil
	}
}

var (
	element = object{"value": {}, "type": {}, "primary": {Kind: filter.Bool}, "$ref": {Exact: true}}
	people  = object{
		"id": {Exact: true}, "externalid": {Exact: true}, "username": {}, "title": {}, "nickname": {}, "displayname": {},
		"active": {Kind: filter.Bool}, "age": {Kind: filter.Number}, "key": {Kind: filter.Bytes}, "odd": {Kind: 99},
		"name":   {Element: object{"familyname": {}}},
		"emails": {Element: element}, "members": {Element: element}, "manager": {Element: object{"value": {Exact: true}}},
		"meta":                                  {Element: object{"created": {Kind: filter.Time}}},
		"deep":                                  {Element: object{"value": {Element: element}}},
		strings.ToLower(enterprise + ":floor"):  {Kind: filter.Number},
		strings.ToLower(enterprise + ":height"): {Kind: filter.Number},
	}
)

const nora = `{
	"id": "u1", "externalId": "f:3c1d:nora", "userName": "nora.lind@example.org", "displayName": "A \"B\" \\ C",
	"title": "", "active": true, "age": 41.50, "key": "TG9n", "odd": "x",
	"name": {"familyName": "Lind"},
	"emails": [
		{"type": "work", "value": "nora.lind@example.org", "primary": true},
		{"type": "home", "value": "Nora@home.EXAMPLE", "primary": "False"}, null
	],
	"manager": {"value": "u2"}, "members": [], "deep": [{"value": "x"}],
	"meta": {"created": "2021-03-04T12:06:07.1234567Z"},
	"` + enterprise + `:floor": 12345678901234567890, "` + enterprise + `:height": -0.0
}`

func read(t *testing.T, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var item any
	require.NoError(t, decoder.Decode(&item))
	return item
}

func TestCompile(t *testing.T) {
	t.Parallel()
	item := read(t, nora)
	for text, want := range map[string]bool{
		// Q-E02, Q-E03: case
		`userName eq "NORA.LIND@EXAMPLE.ORG"`:                                 true,
		`userName eq "nora.lind@example.or"`:                                  false,
		`userName eq "nora.lind@example.orgg"`:                                false,
		`USERNAME Eq "nora.lind@example.org"`:                                 true,
		`externalId eq "f:3c1d:nora"`:                                         true, // Q-K01
		`externalId eq "F:3C1D:NORA"`:                                         false,
		`externalId sw "f:" and externalId ew "nora" and externalId co ":3c"`: true,
		`externalId sw "F:" or externalId ew "Nora" or externalId co ":3C"`:   false,
		`displayName eq "A \"B\" \\ C"`:                                       true, // Q-E13
		// texts
		`userName co "LIND@"`:                                        true,
		`userName co "lund@"`:                                        false,
		`userName sw "NORA."`:                                        true,
		`userName sw "ora"`:                                          false,
		`userName sw "nora.lind@example.org.and.more"`:               false,
		`userName ew ".ORG"`:                                         true,
		`userName ew ".orf"`:                                         false,
		`userName ew "more.than.nora.lind@example.org"`:              false,
		`userName co "" and userName sw "" and userName ew ""`:       true,
		`userName gt "NORA" and userName ge "nora.lind@EXAMPLE.org"`: true,
		`userName lt "NORB" and userName le "nora.lind@EXAMPLE.org"`: true,
		`userName gt "o" or userName lt "n"`:                         false,
		`id gt "U1"`:                                                 true, // by bytes
		// ne and absence
		`userName ne "x"`:                                    true,
		`userName ne "Nora.Lind@example.org"`:                false,
		`nickName eq "x"`:                                    false,
		`nickName ne "x"`:                                    true,
		`not (nickName eq "x")`:                              true,
		`nickName co "" or nickName sw "" or nickName ew ""`: false,
		`nickName gt "" or nickName ge "" or nickName lt "z" or nickName le "z"`: false,
		`emails.value ne "nora@home.example"`:                                    false, // one is equal
		`emails.value ne "x"`:                                                    true,
		`emails ne "nora@home.example"`:                                          false,
		`members.value ne "u1"`:                                                  true,
		// null and pr
		`nickName eq null`: true,
		`nickName ne null`: false,
		`userName eq null`: false,
		`userName ne null`: true,
		`title eq ""`:      true,
		`title pr`:         false,
		`title eq null`:    true,
		`nickName pr`:      false,
		`userName pr and active pr and age pr and name pr and emails pr and emails.primary pr`: true,
		`members pr`:      false,
		`members eq null`: true,
		// several values
		`emails.value co "HOME"`: true,
		`emails.value eq "nora@home.example" and emails.type eq "work"`: true,
		`emails co "lind" and emails eq "NORA@home.example"`:            true, // Q-X15
		`manager eq "u2"`:                true, // Q-E07
		`manager eq "u1"`:                false,
		`id eq "u1" and manager eq "u2"`: true,
		`members eq "u1"`:                false,
		`name.familyName eq "LIND"`:      true,
		// value paths: one element fits all
		`emails[type eq "work" and value co "lind"]`:              true,
		`emails[type eq "home" and value co "lind"]`:              false,
		`emails[type eq "home" or value co "x"]`:                  true,
		`emails[not (type eq "work")]`:                            true,
		`emails[type ne "work" and type ne "home"]`:               false,
		`emails[primary eq true]`:                                 true,
		`emails[primary eq false]`:                                true,
		`emails[display pr]`:                                      false,
		`not (members[value pr])`:                                 true,
		`emails[type eq "work"].value eq "NORA.LIND@example.org"`: true, // Q-E04
		`emails[type eq "home"].value eq "nora.lind@example.org"`: false,
		`emails[type eq "home"].value ne "nora.lind@example.org"`: true,
		`Emails[Type eq "work"].Value pr`:                         true,
		// booleans
		`active eq true`:             true,
		`active eq false`:            false,
		`active ne false`:            true,
		`active eq "True"`:           true, // Q-E39
		`active ne "TRUE"`:           false,
		`emails[primary eq "false"]`: true,
		// numbers by value
		`age eq 41.5`:     true,
		`age eq 415e-1`:   true,
		`age eq 0.415E+2`: true,
		`age ne 41.50`:    false,
		`age gt 41 and age lt 42 and age ge 41.5 and age le 41.5`:                                                true,
		`age gt 100 or age gt 41.51 or age lt -50 or age lt 4.15`:                                                false,
		`age lt 1e999999999999999999999 and age gt -1e999999999999999999999 and age gt 1e-999999999999999999999`: true,
		enterprise + `:floor eq 12345678901234567890`:                                                            true,
		enterprise + `:floor eq 12345678901234567891`:                                                            false, // equal as float64
		enterprise + `:height eq 0 and ` + enterprise + `:height ge 0.00e5`:                                      true,
		// times are instants, Q-P06
		`meta.created eq "2021-03-04T05:06:07.1234567-07:00"`:                                               true,
		`meta.created eq "2021-03-04T13:06:07.123456700 01:00"`:                                             true,
		`meta.created eq 2021-03-04T13:06:07.123456700 01:00`:                                               true,
		`meta.Created gt 2021-03-04T05:06:07.1234566-07:00`:                                                 true,
		`meta.created gt "2021-03-04T12:06:07.1234567Z" or meta.created lt "2021-03-04T12:06:07.1234567Z"`:  false,
		`meta.created ge "2021-03-04T12:06:07.1234567Z" and meta.created le "2021-03-04T12:06:07.1234567Z"`: true,
		`meta.created ne "2021-03-04T12:06:07.123456789Z"`:                                                  true,
		// binaries with case
		`key eq "TG9n" and key sw "TG" and key co "G9" and key ew "n"`: true,
		`key eq "tg9n"`: false,
		// and, or, not
		`active eq true and not (id eq "u1" and userName pr) or age lt 5`: false,
		`active eq false or (id eq "u1" or id eq "u2") and (age gt 5)`:    true,
		`active eq true and id eq "u1" and age gt 5 and userName pr`:      true,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			e, err := filter.Parse(text, filter.Options{Lenient: everything})
			require.NoError(t, err)
			holds, err := filter.CompileWith(e, withDisplay(people), everything)
			require.NoError(t, err)
			require.Equal(t, want, holds(item))
		})
	}
}

// withDisplay adds an attribute that no item has, for it has no Values.
func withDisplay(s object) filter.Schema { return lacking{s} }

type lacking struct{ object }

func (l lacking) Field(a filter.Attr) (filter.Field, error) {
	f, err := l.object.Field(a)
	if f.Element != nil {
		f.Element = lacking{f.Element.(object)} //nolint:errcheck // the schema of a test
	}
	if strings.EqualFold(a.Name, "display") {
		return filter.Field{}, nil
	}
	return f, err
}

func TestCompile_AttributeOfNoItem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`display eq "x"`: false, `display eq 5`: false, `display gt true`: false, `display ne "x"`: true, `display pr`: false,
		`display eq null`: true, `display[value eq "x"]`: false, `not (display[value eq "x"].value pr)`: true,
	} {
		e, err := filter.Parse(text, filter.Options{Lenient: everything})
		require.NoError(t, err)
		holds, err := filter.Compile(e, withDisplay(people))
		require.NoError(t, err, text)
		require.Equal(t, want, holds(map[string]any{"display": "x"}), text)
	}
}

func TestCompile_Refuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`userName gt 5`:                               `expected a comparison that a text has but found "gt" with a number at "userName"`,
		`userName eq 5`:                               `expected a comparison that a text has but found "eq" with a number at "userName"`,
		`userName eq true`:                            `expected a comparison that a text has but found "eq" with a boolean at "userName"`,
		`userName gt null`:                            `expected eq or ne before null but found "gt" at "userName"`,
		`active gt true`:                              `expected a comparison that a boolean has but found "gt" with a boolean at "active"`,
		`active co "t"`:                               `expected a comparison that a boolean has but found "co" with "t" at "active"`,
		`active eq 1`:                                 `expected a comparison that a boolean has but found "eq" with a number at "active"`,
		`active eq "yes"`:                             `expected a comparison that a boolean has but found "eq" with "yes" at "active"`,
		`active eq "True"`:                            `expected a comparison that a boolean has but found "eq" with "True" at "active"`,
		`age eq "41"`:                                 `expected a comparison that a number has but found "eq" with "41" at "age"`,
		`age co 4`:                                    `expected a comparison that a number has but found "co" with a number at "age"`,
		`key gt "a"`:                                  `expected a comparison that a binary has but found "gt" with "a" at "key"`,
		`key eq 5`:                                    `expected a comparison that a text has but found "eq" with a number at "key"`,
		`meta.created gt 5`:                           `expected a comparison that a time has but found "gt" with a number at "meta.created"`,
		`meta.created gt "now"`:                       `expected a comparison that a time has but found "gt" with "now" at "meta.created"`,
		`meta.created co "2021-03-04T12:06:07Z"`:      `expected a comparison that a time has but found "co" with "2021-03-04T12:06:07Z" at "meta.created"`,
		`meta.created gt "2021-03-04T12:06:07"`:       `expected a comparison that a time has but found "gt" with "2021-03-04T12:06:07" at "meta.created"`,
		`meta.created gt "2021-03-04T1:06:07Z"`:       `expected a comparison that a time has but found "gt" with "2021-03-04T1:06:07Z" at "meta.created"`,
		`meta.created gt "2021-03-04T12:06:07,5Z"`:    `expected a comparison that a time has but found "gt" with "2021-03-04T12:06:07,5Z" at "meta.created"`,
		`meta.created gt "2021-03-04T12:06:07+24:00"`: `expected a comparison that a time has but found "gt" with "2021-03-04T12:06:07+24:00" at "meta.created"`,
		`meta.created gt "2021-02-30T12:06:07Z"`:      `expected a comparison that a time has but found "gt" with "2021-02-30T12:06:07Z" at "meta.created"`,
		`meta.created gt "2021-03-04T12:06:07.1234567890Z"`: `expected a comparison that a time has but found "gt" with "2021-03-04T12:06:07.1234567890Z" at "meta.created"`,
		`meta.created gt "2021-03-04T12:06:07 02:00"`:       `expected a comparison that a time has but found "gt" with "2021-03-04T12:06:07 02:00" at "meta.created"`,
		`odd eq "x"`:                          `expected a comparison that an unknown kind has but found "eq" with "x" at "odd"`,
		`userName[value pr]`:                  `expected an attribute that has sub-attributes before brackets but found "userName"`,
		`deep eq "x"`:                         `expected an attribute that can be compared, or a sub-attribute of it but found "deep"`,
		`emails[value eq 5]`:                  `expected a comparison that a text has but found "eq" with a number at "value"`,
		`not (userName eq 5)`:                 `expected a comparison that a text has but found "eq" with a number at "userName"`,
		`userName pr or id eq 5 or active pr`: `expected a comparison that a text has but found "eq" with a number at "id"`,
		`userName pr and id eq 5`:             `expected a comparison that a text has but found "eq" with a number at "id"`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			e, err := filter.Parse(text, filter.Options{})
			require.NoError(t, err)
			_, err = filter.Compile(e, people)
			require.EqualError(t, err, want)
			var fault *filter.Error
			require.ErrorAs(t, err, &fault)
			require.Equal(t, -1, fault.Offset)
		})
	}
	for _, text := range []string{
		`unknown eq "x"`, `unknown pr`, `unknown[x pr]`, `not (unknown pr)`, `id pr and unknown pr`, `id pr or unknown pr`,
		`name eq "x"`, `emails[unknown pr]`, `emails[type eq "work"].unknown pr`,
	} {
		e, err := filter.Parse(text, filter.Options{Lenient: everything})
		require.NoError(t, err)
		_, err = filter.CompileWith(e, people, everything)
		require.Same(t, errUnknown, err, "%s: a schema's fault is returned as it is", text)
	}
}

func TestCompile_TreesMadeByHand(t *testing.T) {
	t.Parallel()
	for _, e := range []filter.Expr{
		nil, not(nil), and(nil, pr("id")), or(pr("id"), nil), &filter.ValuePath{Attr: attr("emails")},
		compare("id", "is", "x"), compare("active", "is", true), compare("age", "is", json.Number("1")), compare("id", filter.Equal, 5),
		compare("age", filter.Equal, json.Number("x")), compare("meta.created", "is", "2021-03-04T12:06:07Z"), compare("id", "is", nil),
	} {
		_, err := filter.Compile(e, people)
		require.ErrorAs(t, err, new(*filter.Error))
	}
}

func TestCompile_ReadsValuesOfGo(t *testing.T) {
	t.Parallel()
	for text, item := range map[string]map[string]any{
		`age eq 5`:                               {"age": 5},
		`age eq 5.0`:                             {"age": int64(5)},
		`age eq 5.5`:                             {"age": 5.5},
		`age eq 5e30`:                            {"age": 5e30},
		`age eq 55`:                              {"age": "55"},
		`age ne 6`:                               {"age": "six"},
		`age ne 7`:                               {"age": []string{"7"}},
		`meta.created ge "2021-03-04T12:06:07Z"`: {"meta": map[string]any{"created": time.Date(2021, 3, 4, 12, 6, 7, 0, time.UTC)}},
		`meta.created ne "2021-03-04T12:06:07Z"`: {"meta": map[string]any{"created": 5}},
		`active ne true`:                         {"active": 1},
		`userName ne "5"`:                        {"userName": 5},
		`not (name pr)`:                          {"name": map[string]any{"familyName": "", "givenName": []any{nil, map[string]any{}}}},
		`name pr`:                                {"name": map[string]any{"familyName": "", "givenName": []any{nil, "x"}}},
		`emails eq "b"`:                          {"emails": []any{nil, map[string]any{"type": "a"}, map[string]any{"value": []any{"a", "b"}}}},
	} {
		e, err := filter.Parse(text, filter.Options{})
		require.NoError(t, err)
		holds, err := filter.Compile(e, people)
		require.NoError(t, err)
		require.True(t, holds(item), text)
	}
}

func TestEqualities(t *testing.T) {
	t.Parallel()
	type pair struct{ attr, value string }
	for text, want := range map[string][]pair{
		`userName eq "x"`: {{"userName", "x"}},
		`userName EQ "x" and externalId eq "y" and id pr`:   {{"userName", "x"}, {"externalId", "y"}},
		`id pr and (externalId eq "y" and (id eq "z"))`:     {{"externalId", "y"}, {"id", "z"}},
		`userName eq "x" or externalId eq "y"`:              nil,
		`id eq "z" and (userName eq "x" or userName pr)`:    {{"id", "z"}},
		`not (userName eq "x")`:                             nil,
		`userName ne "x" and id co "y" and active eq true`:  nil,
		`age eq 5 and title eq null`:                        nil,
		enterprise + `:manager.value eq "u2"`:               {{enterprise + ":manager.value", "u2"}},
		`members eq "u1"`:                                   {{"members", "u1"}},
		`emails[value eq "x"]`:                              {{"emails.value", "x"}},
		`Emails[Type eq "work" and Value eq "x"]`:           {{"Emails.Value", "x"}},
		`emails[value eq "x" or type eq "work"]`:            nil,
		`emails[type eq "work"]`:                            nil,
		`emails[type eq "work"].value eq "x"`:               {{"emails.value", "x"}},
		`emails[value eq "x"].display eq "y" and id eq "z"`: {{"emails.value", "x"}, {"emails.display", "y"}, {"id", "z"}},
		`emails[type eq "work"].value pr`:                   nil,
		`emails[type eq "work"].value sw "x"`:               nil,
		`a.b[value eq "x"]`:                                 nil,
		`emails[urn:x:value eq "x" or value.y eq "z"]`:      nil,
		`emails[urn:x:value eq "x" and value.y eq "z"]`:     nil,
		enterprise + `:manager[value eq "u2"]`:              {{enterprise + ":manager.value", "u2"}},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			e, err := filter.Parse(text, filter.Options{Lenient: everything})
			require.NoError(t, err)
			var got []pair
			for _, found := range filter.Equalities(e) {
				got = append(got, pair{found.Attr.String(), found.Value.(string)}) //nolint:errcheck // are of strings
			}
			require.Equal(t, want, got)
		})
	}
	require.Empty(t, filter.Equalities(nil))
}
