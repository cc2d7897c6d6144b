package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func (v *validator) sources(list []Source) {
	lines := map[string]int{}
	for i := range list {
		s, at := &list[i], indexPath("sources", i)
		name := at + ".name"
		switch first := lines[s.Name]; {
		case s.Name == "":
		case !sourceName.MatchString(s.Name):
			v.fault(name, "want lower-case letters, digits and -, at most 32 and a letter first, found "+v.quote(name), "links are kept under this name")
		case first > 0:
			v.fault(name, fmt.Sprintf("is the name of the source on line %d already", first), "links are kept under this name: every source needs its own")
		default:
			lines[s.Name] = v.doc.marks[name].line
		}
		switch {
		case s.LDAP != nil:
			v.ldap(at, s.LDAP)
		case s.File != nil:
			v.file(at, s.File)
		case s.SCIM != nil:
			v.scimSource(at, s.SCIM)
		case s.Type != "":
			v.oneOf(at+".type", s.Type, TypeLDAP, TypeFile, TypeSCIM)
		}
		v.picture(at+".picture", s.Picture)
		v.selfEditable(at+".self_editable", s.SelfEditable)
		switch {
		case s.SelfEditable != nil:
		case s.LDAP != nil:
			s.SelfEditable = defaultSelfEditable()
		case s.SCIM != nil:
			s.SelfEditable = defaultSelfEditableSCIM()
		}
	}
	v.distinctIssuers(list)
	v.personAttributes(list)
}

// personAttributes refuses names of user attributes that are to hold texts as well: one in
// Mattermost is of one type.
func (v *validator) personAttributes(list []Source) {
	texts := map[string]int{} // to the line
	for i := range list {
		for name := range list[i].UserAttributes {
			texts[name] = v.doc.marks[fmt.Sprintf("sources[%d].user_attributes.%s", i, name)].line
		}
	}
	for i := range list {
		for _, name := range slices.Sorted(maps.Keys(list[i].PersonAttributes)) {
			if line, both := texts[name]; both {
				v.fault(fmt.Sprintf("sources[%d].person_attributes.%s", i, name), fmt.Sprintf("is given texts on line %d", line),
					"a user attribute of Mattermost holds either a text or a person: remove one of the two")
			}
		}
	}
}

func (v *validator) selfEditable(at string, list []Expr) {
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Text
		if e.Text == "" {
			v.fault(indexPath(at, i), "is empty", "")
		}
	}
	v.unique(at, names, strings.ToLower)
}

// maxFullSyncPeriod bounds how long what a directory does not tell by itself, above all
// that somebody was deleted, may stay unseen.
const maxFullSyncPeriod = 7 * 24 * time.Hour

func (v *validator) ldap(at string, l *LDAP) {
	if v.oneOf(at+".connection_security", l.ConnectionSecurity, "", "tls", "starttls") {
		v.connection(at, l)
	}
	l.CAFile = v.caFile(at+".ca_file", l.CAFile)
	v.clientCertificate(at, l)
	v.bind(at, l)
	v.dn(at+".base_dn", l.BaseDN)
	v.dn(at+".canary", l.Canary)
	v.filter(at+".user_filter", l.UserFilter)
	v.between(at+".max_page_size", l.MaxPageSize, 1, 10000)
	if l.QueryTimeout < time.Second {
		v.fault(at+".query_timeout", "want at least 1s, found "+formatDuration(l.QueryTimeout), "")
	}
	v.oneOf(at+".references", l.References, ReferencesDoubt, ReferencesIgnore)
	v.oneOf(at+".delta", l.Delta, DeltaAuto, DeltaOff, DeltaUSN, DeltaDirSync, DeltaTimestamp, DeltaSyncrepl)
	if p := l.FullSyncPeriod; p < 0 || p > maxFullSyncPeriod {
		v.fault(at+".full_sync_period", "want 0s to "+formatDuration(maxFullSyncPeriod)+", found "+formatDuration(p), "0s reads everybody in each run")
	}
	if l.Groups != nil {
		v.groups(at+".groups", l.Groups)
	}
}

// dn checks no more than that a name looks like one; the adapter parses it.
func (v *validator) dn(at, dn string) {
	if dn != "" && strings.Index(dn, "=") < 1 {
		v.fault(at, v.quote(at)+" is not a DN", "write attribute=value pairs, such as dc=example,dc=com")
	}
}

// filter checks the parentheses, which RFC 4515 §3 wants around every filter
// and escaped (\28, \29) inside values.
func (v *validator) filter(at string, f Expr) {
	if f.Text == "" {
		return
	}
	if !strings.HasPrefix(f.Text, "(") || !strings.HasSuffix(f.Text, ")") {
		v.fault(at, "a filter stands in parentheses", "write (objectClass=person), or (&(…)(…)) for several conditions")
		return
	}
	depth := 0
	for i, r := range f.Text {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 && i < len(f.Text)-1 {
			v.fault(at, fmt.Sprintf("the first parenthesis closes at character %d, before the filter ends", len([]rune(f.Text[:i]))+1), "combine conditions as (&(…)(…)); inside a value write \\28 and \\29")
			return
		}
	}
	if depth != 0 {
		v.fault(at, fmt.Sprintf("%d more parentheses open than close", depth), "inside a value write \\28 and \\29")
	}
}

func (v *validator) file(at string, f *File) {
	if f.Path == "" {
		return
	}
	f.Path = v.resolve(f.Path)
	if f.Format == "" {
		byExtension := map[string]string{".ldif": FormatLDIF, ".csv": FormatCSV, ".jsonl": FormatJSONL, ".ndjson": FormatJSONL}
		f.Format = byExtension[strings.ToLower(filepath.Ext(f.Path))]
		if f.Format == "" {
			v.fault(at+".format", "is required, for the name of the file does not tell it", "write ldif, csv or jsonl")
			return
		}
	}
	if !v.oneOf(at+".format", f.Format, FormatLDIF, FormatCSV, FormatJSONL) || f.ValueSeparator == "" {
		return
	}
	switch sep := at + ".value_separator"; {
	case f.Format != FormatCSV:
		v.fault(sep, "is for csv only, this file is "+f.Format, "remove it")
	case slices.Contains([]string{",", `"`}, f.ValueSeparator):
		v.fault(sep, v.quote(sep)+" has a meaning in CSV itself", `write another, such as ";" or "|"`)
	}
}
