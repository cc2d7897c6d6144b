package mmsim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// pairs relates what the recorded server had generated to what this one
// generates in its place: ids, ETags, version ids.
type pairs struct {
	own      map[string]string // recorded -> own
	recorded map[string]string // and back: two may not become one
	made     []string          // recorded values in the order they were bound
}

// undo takes back what was bound since there were n.
func (p *pairs) undo(n int) {
	for _, recorded := range p.made[n:] {
		delete(p.recorded, p.own[recorded])
		delete(p.own, recorded)
	}
	p.made = p.made[:n]
}

func newPairs() *pairs { return &pairs{own: map[string]string{}, recorded: map[string]string{}} }

// bind relates two values, or says that one of them is related to another.
func (p *pairs) bind(recorded, own string) bool {
	if have, ok := p.own[recorded]; ok {
		return have == own
	}
	if _, ok := p.recorded[own]; ok {
		return false
	}
	p.own[recorded], p.recorded[own] = own, recorded
	p.made = append(p.made, recorded)
	return true
}

var generated = regexp.MustCompile(`[a-z0-9]{26,27}|[0-9]+\.[0-9]+\.[0-9]+\.[0-9a-z.]+`)

// toOwn puts this server's ids and ETags in the place of the recorded ones.
func (p *pairs) toOwn(text string) string {
	if own, ok := p.own[text]; ok {
		return own
	}
	return generated.ReplaceAllStringFunc(text, func(word string) string {
		if own, ok := p.own[word]; ok {
			return own
		}
		return word
	})
}

// expand writes out the short forms of the recording.
func expand(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if parts, ok := v["__text"].([]any); ok && len(parts) == 4 {
			head, _ := parts[0].(string)
			unit, _ := parts[1].(string)
			times, _ := parts[2].(float64)
			tail, _ := parts[3].(string)
			return head + strings.Repeat(unit, int(times)) + tail
		}
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = expand(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = expand(value)
		}
		return out
	}
	return v
}

// comparison is the walk over one pair of answers.
type comparison struct {
	*pairs
	unordered bool // the server orders by an id it made
	trial     bool // only whether there is a difference is asked
	renamed   map[string]string
	diffs     []string
}

// compare returns how an answer differs from the recorded one: status, error
// id, which keys there are, and every value that is not made by the server.
func (p *pairs) compare(l line, rec *httptest.ResponseRecorder, rename func(own, recorded string)) []string {
	c := &comparison{pairs: p, unordered: orderedByID(l), renamed: map[string]string{}}
	if l.Status != rec.Code {
		c.differ("status", l.Status, rec.Code)
	}
	c.headers(l, rec)
	c.answer(l, rec)
	for own, recorded := range c.renamed {
		rename(own, recorded)
	}
	return c.diffs
}

// orderedByID: these lists follow ids, which are random, so they are compared
// as sets.
func orderedByID(l line) bool {
	path, _, _ := strings.Cut(l.Path, "?")
	return path == "/api/v4/users/ids" || path == "/api/v4/users/invalid_emails" ||
		l.Method == "GET" && strings.HasSuffix(path, "/members") ||
		strings.HasSuffix(path, "/members/ids") || strings.HasSuffix(path, "/channel_members")
}

func (c *comparison) differ(where string, recorded, own any) {
	if c.trial {
		c.diffs = append(c.diffs, where)
		return
	}
	c.diffs = append(c.diffs, fmt.Sprintf("%s: recorded %.200s, got %.200s", where, show(recorded), show(own)))
}

func show(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

func (c *comparison) headers(l line, rec *httptest.ResponseRecorder) {
	for key, recorded := range l.Got {
		own := rec.Header().Get(key)
		switch key {
		case "ETag", "X-Version-Id":
			if own == "" || !c.bind(recorded, own) {
				c.differ(key, recorded, own)
			}
		case "Content-Type":
			want, _, _ := strings.Cut(recorded, ";")
			if got, _, _ := strings.Cut(own, ";"); got != want {
				c.differ(key, recorded, own)
			}
		default:
			if own != recorded {
				c.differ(key, recorded, own)
			}
		}
	}
	if l.Got["Content-Type"] == "" && rec.Body.Len() > 0 && !isJSON(rec) {
		c.differ("Content-Type", "application/json", rec.Header().Get("Content-Type"))
	}
	for _, key := range []string{"ETag", "X-RateLimit-Limit", "Retry-After"} {
		if own := rec.Header().Get(key); own != "" && l.Got[key] == "" {
			c.differ(key, "none", own)
		}
	}
}

func (c *comparison) answer(l line, rec *httptest.ResponseRecorder) {
	text := rec.Body.String()
	if recorded, ok := l.Answer.(string); ok {
		c.text(recorded, text)
		return
	}
	if l.Answer == nil {
		if text != "" {
			c.differ("body", "none", text)
		}
		return
	}
	var own any
	if json.Unmarshal([]byte(text), &own) != nil {
		c.differ("body", l.Answer, text)
		return
	}
	recorded := expand(l.Answer)
	if obj, ok := recorded.(map[string]any); ok {
		if short, ok := obj["__list"].([]any); ok {
			recorded, own = short, shorten(own)
		}
	}
	c.values("", recorded, own)
}

// text compares a body that is no JSON; the recording cut off some.
func (c *comparison) text(recorded, own string) {
	if start, cut := strings.CutSuffix(recorded, "…"); cut {
		digits := regexp.MustCompile(`[0-9]+|[a-z0-9]{26}`)
		start = digits.ReplaceAllString(c.toOwn(start), "*")
		start = strings.TrimRight(start, "*")
		if !strings.HasPrefix(digits.ReplaceAllString(own, "*"), start) {
			c.differ("body", recorded, own)
		}
		return
	}
	if own != recorded {
		c.differ("body", recorded, own)
	}
}

// shorten reduces a list to what a long recorded list was reduced to.
func shorten(own any) any {
	rows, ok := own.([]any)
	if !ok {
		return own
	}
	out := make([]any, len(rows))
	for i, row := range rows {
		full, _ := row.(map[string]any)
		short := map[string]any{}
		for _, key := range []string{"id", "username"} {
			if value, ok := full[key]; ok {
				short[key] = value
			}
		}
		out[i] = short
	}
	return out
}

func (c *comparison) values(where string, recorded, own any) {
	switch want := recorded.(type) {
	case map[string]any:
		got, ok := own.(map[string]any)
		if !ok {
			c.differ(where, recorded, own)
			return
		}
		c.objects(where, want, got)
	case []any:
		got, ok := own.([]any)
		if !ok || len(got) != len(want) {
			missing, extra := namesOnlyIn(recorded, own), namesOnlyIn(own, recorded)
			c.differ(fmt.Sprintf("%s: %d rows, without %q, with %q beside them", where, len(got), missing, extra), recorded, own)
			return
		}
		if c.unordered {
			c.sets(where, want, got)
			return
		}
		for i := range want {
			c.values(fmt.Sprintf("%s[%d]", where, i), want[i], got[i])
		}
	default:
		if !c.scalars(where, recorded, own) {
			c.differ(where, recorded, own)
		}
	}
}

// namesOnlyIn returns the usernames of the first list that the second lacks.
func namesOnlyIn(list, other any) []any {
	usernames := func(list any) (out []any) {
		rows, _ := list.([]any)
		for _, row := range rows {
			if fields, ok := row.(map[string]any); ok && fields["username"] != nil {
				out = append(out, fields["username"])
			}
		}
		return out
	}
	has := usernames(other)
	return slices.DeleteFunc(usernames(list), func(name any) bool { return slices.Contains(has, name) })
}

func (c *comparison) objects(where string, want, got map[string]any) {
	trimmed := want["__trimmed"] == true
	isError := len(want) == 2 && want["id"] != nil && want["status_code"] != nil
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if key == "__trimmed" {
			continue
		}
		value, ok := got[key]
		if !ok {
			c.differ(where+"."+key, want[key], "absent")
			continue
		}
		c.values(where+"."+key, want[key], value)
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		left := isError && (key == "message" || key == "detailed_error" || key == "request_id")
		if _, ok := want[key]; !ok && !trimmed && !left {
			c.differ(where+"."+key, "absent", got[key])
		}
	}
}

// sets pairs the rows of two lists that are ordered by generated ids.
func (c *comparison) sets(where string, want, got []any) {
	taken := make([]bool, len(got))
next:
	for i, row := range want {
		for j, candidate := range got {
			if taken[j] {
				continue
			}
			bound := len(c.made)
			try := &comparison{pairs: c.pairs, trial: true, renamed: map[string]string{}}
			if try.values(where, row, candidate); len(try.diffs) > 0 {
				c.undo(bound)
				continue
			}
			taken[j] = true
			continue next
		}
		c.differ(fmt.Sprintf("%s[%d]", where, i), row, "no such row")
	}
}

// invented is the form of a username that the server made up.
var invented = regexp.MustCompile(`^[a-z0-9]{26,27}$`)

var idForm = regexp.MustCompile(`^[a-z0-9]{26}$`)

func (c *comparison) scalars(where string, recorded, own any) bool {
	key := where[strings.LastIndexByte(where, '.')+1:]
	switch want := recorded.(type) {
	case float64:
		got, ok := own.(float64)
		if ok && isTime(key) {
			return sign(got) == sign(want)
		}
		return ok && got == want
	case string:
		got, ok := own.(string)
		if !ok {
			return false
		}
		return c.words(key, want, got)
	}
	return reflect.DeepEqual(recorded, own)
}

func (c *comparison) words(key, want, got string) bool {
	switch {
	case key == "password": // a hash: only its form can be compared
		return len(want) == 60 && len(got) == 60 && want[:7] == got[:7]
	case key == "AsymmetricSigningPublicKey", key == "InstallationDate", want == "<token>":
		return got != ""
	case key == "follow_link":
		want, _, _ = strings.Cut(want, "email_token=")
		got, _, _ = strings.Cut(got, "email_token=")
		return want == got
	case key == "username" && invented.MatchString(want) && len(want) == len(got) && want != got:
		c.renamed[got] = want
		return true
	case idForm.MatchString(want):
		return idForm.MatchString(got) && c.bind(want, got)
	}
	return want == got
}

func isTime(key string) bool {
	return strings.HasSuffix(key, "_at") || strings.HasSuffix(key, "_update")
}

func sign(n float64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
