package slapdtest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// fakeSearch is a decoded search request.
type fakeSearch struct {
	base       string
	scope      int
	filter     tlv
	attributes []string
	sizeLimit  int
	pageSize   int
	cookie     string
	paged      bool
}

func decodeSearch(op tlv, rest []tlv) (fakeSearch, error) {
	var q fakeSearch
	parts, err := op.children()
	if err != nil || len(parts) < 8 {
		return q, errBER
	}
	q.base, q.scope, q.sizeLimit, q.filter = strings.ToLower(parts[0].text()), parts[1].int(), parts[3].int(), parts[6]
	names, err := parts[7].children()
	if err != nil {
		return q, err
	}
	for _, n := range names {
		q.attributes = append(q.attributes, n.text())
	}
	if len(rest) == 0 {
		return q, nil
	}
	controls, err := rest[0].children()
	if err != nil {
		return q, err
	}
	for _, c := range controls {
		fields, err := c.children()
		if err != nil || len(fields) < 2 || fields[0].text() != pagedResults {
			continue
		}
		inner, err := tlv{body: fields[len(fields)-1].body}.children()
		if err != nil || len(inner) != 1 {
			return q, errBER
		}
		value, err := inner[0].children()
		if err != nil || len(value) != 2 {
			return q, errBER
		}
		q.paged, q.pageSize, q.cookie = true, value[0].int(), value[1].text()
	}
	return q, nil
}

const pagedResults = "1.2.840.113556.1.4.319" // RFC 2696

func (f *Fake) search(w *fakeWriter, op tlv, rest []tlv, page *int) error {
	q, err := decodeSearch(op, rest)
	if err != nil {
		return err
	}
	faults := f.note("search %s %s", []string{"base", "one", "sub"}[q.scope%3], q.base)
	time.Sleep(faults.Delay)
	if q.scope == 0 {
		f.searchBase(w, q, faults)
		return nil
	}
	return f.searchTree(w, q, faults, page)
}

func (f *Fake) searchBase(w *fakeWriter, q fakeSearch, faults Faults) {
	var found *Entry
	switch q.base {
	case "":
		found = &Entry{"", map[string][]string{"namingContexts": {BaseDN}, "subschemaSubentry": {"cn=Subschema"}, "supportedControl": {pagedResults}}}
	case "cn=subschema":
		if !faults.NoSchema {
			found = &Entry{"cn=Subschema", map[string][]string{"attributeTypes": f.schema()}}
		}
	default:
		for i := range f.entries {
			if strings.EqualFold(f.entries[i].DN, q.base) {
				found = &f.entries[i]
			}
		}
	}
	if found == nil {
		w.send(0x65, berInt(0x0a, 32), berText(""), berText(""))
		return
	}
	if matches(q.filter, *found) || q.base == "" || q.base == "cn=subschema" {
		w.entry(*found, q.attributes, faults.Range)
	}
	w.send(0x65, berInt(0x0a, 0), berText(""), berText(""))
}

// schema declares every attribute that some entry has.
func (f *Fake) schema() []string {
	names := map[string]bool{"title": true, "memberOf": true, "member": true, "objectGUID": true}
	for _, e := range f.entries {
		for n := range e.Attributes {
			names[n] = true
		}
	}
	var out []string
	for i, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, fmt.Sprintf("( 1.2.%d NAME '%s' )", i+3, n))
	}
	return out
}

func (f *Fake) searchTree(w *fakeWriter, q fakeSearch, faults Faults, page *int) error {
	var found []Entry
	for _, e := range f.entries {
		if !faults.Empty && strings.HasSuffix(strings.ToLower(e.DN), q.base) && matches(q.filter, e) {
			found = append(found, e)
		}
	}
	for i := range faults.Referrals {
		w.send(0x73, berText(fmt.Sprintf("ldap://other%d.test/%s", i, q.base)))
	}
	if q.cookie == "" {
		*page = 1
	} else {
		*page++
	}
	from := 0
	if len(q.cookie) == 4 {
		from = int(binary.BigEndian.Uint32([]byte(q.cookie)))
	}
	to := len(found)
	paged := q.paged && !faults.IgnorePaging
	if paged {
		to = min(from+max(1, q.pageSize), len(found))
	}
	switch {
	case faults.Disconnect:
		w.id = 0
		w.send(0x78, berInt(0x0a, 52), berText(""), berText("shutting down"), ber(0x8a, []byte("1.3.6.1.4.1.1466.20036")))
		return errBER
	case faults.FailPage == *page:
		w.send(0x65, berInt(0x0a, faults.FailCode), berText(""), berText("cookie is invalid or old"))
		return nil
	}
	for i, e := range found[min(from, len(found)):to] {
		if faults.StopAfter > 0 && from+i >= faults.StopAfter {
			w.send(0x65, berInt(0x0a, faults.StopCode), berText(""), berText(""))
			return nil
		}
		if q.sizeLimit > 0 && i >= q.sizeLimit {
			w.send(0x65, berInt(0x0a, 4), berText(""), berText(""))
			return nil
		}
		if faults.CutOnPage == *page && i > 0 {
			return errBER // what was sent is flushed, then the line ends
		}
		w.entry(e, q.attributes, faults.Range)
	}
	if !paged {
		w.send(0x65, berInt(0x0a, 0), berText(""), berText(""))
		return nil
	}
	switch {
	case to < len(found):
		w.endPage(binary.BigEndian.AppendUint32(nil, uint32(to)))
	case faults.EndlessCookie:
		w.endPage(binary.BigEndian.AppendUint32(nil, 0))
	default:
		w.endPage(nil)
	}
	return nil
}

// endPage ends a page well; no cookie says that it was the last.
func (w *fakeWriter) endPage(cookie []byte) {
	value := ber(0x30, berInt(0x02, 0), ber(0x04, cookie))
	w.sendWith(ber(0x30, berText(pagedResults), ber(0x04, value)), 0x65, berInt(0x0a, 0), berText(""), berText(""))
}

// entry sends the asked attributes of an entry, long ones in ranges.
func (w *fakeWriter) entry(e Entry, asked []string, limit int) {
	var list [][]byte
	put := func(name string, values []string) {
		var set [][]byte
		for _, v := range values {
			set = append(set, berText(v))
		}
		list = append(list, ber(0x30, berText(name), ber(0x31, set...)))
	}
	for _, n := range slices.Sorted(maps.Keys(e.Attributes)) {
		values := e.Attributes[n]
		from, want := 0, len(asked) == 0
		for _, a := range asked {
			base, option, _ := strings.Cut(a, ";range=")
			if strings.EqualFold(base, n) || a == "*" || a == "+" {
				want = true
				_, _ = fmt.Sscanf(option, "%d-", &from) // without an option it stays 0
			}
		}
		switch {
		case !want || len(values) == 0:
		case limit == 0 || len(values) <= limit:
			put(n, values)
		default:
			if from == 0 {
				put(n, nil)
			}
			from = min(from, len(values))
			to := min(from+limit, len(values))
			end := fmt.Sprint(to - 1)
			if to == len(values) {
				end = "*"
			}
			put(fmt.Sprintf("%s;range=%d-%s", n, from, end), values[from:to])
		}
	}
	w.send(0x64, berText(e.DN), ber(0x30, list...))
}

// matches evaluates a filter (RFC 4511 4.5.1.7); what it does not know matches
// nothing.
func matches(filter tlv, e Entry) bool {
	values := func(name string) []string {
		for n, v := range e.Attributes {
			if strings.EqualFold(n, name) {
				return v
			}
		}
		return nil
	}
	if filter.tag == 0x87 {
		return len(values(filter.text())) > 0
	}
	parts, err := filter.children()
	if err != nil || len(parts) == 0 {
		return false
	}
	is := func(p tlv) bool { return matches(p, e) }
	switch filter.tag {
	case 0xa0:
		return !slices.ContainsFunc(parts, func(p tlv) bool { return !is(p) })
	case 0xa1:
		return slices.ContainsFunc(parts, is)
	case 0xa2:
		return !is(parts[0])
	case 0xa3:
		return len(parts) == 2 && slices.ContainsFunc(values(parts[0].text()), func(v string) bool { return strings.EqualFold(v, parts[1].text()) })
	}
	return false
}
