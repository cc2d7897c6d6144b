package ldaptest

import (
	"slices"
	"strings"
)

// Faults lists every way a Server goes wrong, always in the same order.
func Faults() []Fault {
	return slices.Concat(refusals(), brokenPaging(), brokenLines(), missingPeople(), brokenEntries(), brokenGroups(), brokenSync())
}

// refusal ends an answer at the place with a code, behind what came before.
func refusal(name, says string, code int64, text string) Fault {
	return Fault{Name: name, Says: says, page: func(f *firing, p *page) {
		if f.stop(p) {
			p.fail(code, text)
		}
	}}
}

// refusals are answers that end with another code than success.
func refusals() []Fault {
	toReferral := Fault{
		Name: "referral", Says: "another server is named instead of an answer (code 10)",
		page: func(f *firing, p *page) {
			p.sent = nil
			p.fail(codeReferral, "")
			p.done.referrals = []string{"ldap://elsewhere.test/" + p.q.base}
			f.strike()
		},
	}
	baseGone := Fault{
		Name: "base-gone", Says: "the base does not exist (code 32)", bases: true,
		page: func(f *firing, p *page) {
			if k := dnKey(p.q.base); k != dnKey(f.s.Kind.BaseDN()) && k != dnKey(f.s.Kind.PeopleDN()) {
				return // the root entry, the schema, a single person
			}
			p.sent = nil
			p.fail(codeNoSuchObject, "")
			f.strike()
		},
	}
	bind := func(name, says string, code int64, text string) Fault {
		return Fault{Name: name, Says: says, Needs: NeedsBind, bind: func(_ *firing, r *result) { *r = result{code: code, text: text} }}
	}
	return []Fault{
		refusal("size-limit", "the server's size limit ends the answer (code 4)", codeSizeLimit, ""),
		refusal("time-limit", "the server's time limit ends the answer (code 3)", codeTimeLimit, ""),
		refusal("admin-limit", "an administrative limit ends the answer (code 11)", codeAdminLimit, ""),
		refusal("busy", "the server becomes busy (code 51)", codeBusy, "busy"),
		refusal("unavailable", "the server is being stopped (code 52)", codeUnavailable, "shutting down"),
		refusal("unwilling", "the server does not want to go on (code 53)", codeUnwilling, "server is not willing"),
		refusal("operations-error", "the server has an internal error (code 1)", codeOperations, "00000000: LdapErr: DSID-0C09013A, comment: internal error, data 0, v4563"),
		refusal("other-error", "the server has an error without a name (code 80)", codeOther, "internal error"),
		refusal("insufficient-rights", "the reader may not read on (code 50)", codeInsufficientRights, ""),
		toReferral,
		baseGone,
		bind("bind-refused", "the password is refused (code 49)", codeInvalidCredentials, "80090308: LdapErr: DSID-0C09050E, comment: AcceptSecurityContext error, data 52e, v4563"),
		bind("bind-busy", "the server is too busy to let anybody in (code 51)", codeBusy, "busy"),
	}
}

// brokenPaging are lists that end too early or never.
func brokenPaging() []Fault {
	capped := []Fault{
		{
			Name: "page-cap", Says: "paging is ignored, and the server's cap ends the answer (code 4)", unpaged: true,
			page: func(f *firing, p *page) {
				if f.stop(p) {
					p.fail(codeSizeLimit, "")
				}
			},
		},
		{
			Name: "cap-without-code", Says: "paging is ignored, and the answer ends at the server's cap with success", unpaged: true,
			page: func(f *firing, p *page) { f.stop(p) },
		},
		{
			Name: "paging-ignored", Says: "paging is ignored, and everything comes at once", unpaged: true, Harmless: true,
			page: func(f *firing, _ *page) { f.strike() },
		},
		{
			Name: "repeated-entry", Says: "an entry comes once more, at the end of its page", Harmless: true,
			page: func(f *firing, p *page) {
				if i, ok := f.here(p); ok && i < len(p.sent) {
					p.sent = append(p.sent, p.sent[i])
				}
			},
		},
	}
	return slices.Concat(capped, brokenCookies())
}

func brokenCookies() []Fault {
	// lost answers the page that holds the place with a code and no entry.
	lost := func(name, says string, code int64, text string) Fault {
		return Fault{Name: name, Says: says, Needs: NeedsPaging, page: func(f *firing, p *page) {
			if _, ok := f.here(p); ok {
				p.sent = nil
				p.fail(code, text)
			}
		}}
	}
	return []Fault{
		lost("cookie-lost", "the server has forgotten how far the reader is (code 53)", codeUnwilling, "paged results cookie is invalid or old"),
		lost("cookie-invalid", "the server does not know its own cookie any more (code 2)", codeProtocol, "paged results cookie is invalid"),
		{
			Name: "paging-control-missing", Says: "a page ends without the paging control, though more would follow", Needs: NeedsPaging,
			page: func(f *firing, p *page) {
				if f.more(p) {
					p.paged, p.cookie = false, ""
				}
			},
		},
		{
			Name: "cookie-endless", Says: "the list begins anew after its last page", Needs: NeedsPaging,
			page: func(f *firing, p *page) {
				if p.paged && p.cookie == "" && p.total > 0 {
					p.back, p.backTo = true, 0
					f.strike()
				}
			},
		},
		{
			Name: "cookie-stuck", Says: "pages without entries go on for ever", Needs: NeedsPaging,
			page: func(f *firing, p *page) {
				if _, ok := f.here(p); ok && p.paged {
					p.sent, p.back, p.backTo = nil, true, p.first
				}
			},
		},
		{
			Name: "cookie-ends-early", Says: "a page says that it is the last, though more would follow", Needs: NeedsPaging, Silent: true,
			page: func(f *firing, p *page) {
				if f.more(p) {
					p.cookie = ""
				}
			},
		},
	}
}

// brokenLines are connections that end, hang or talk nonsense.
func brokenLines() []Fault {
	end := func(name, says string, how ending) Fault {
		return Fault{Name: name, Says: says, page: func(f *firing, p *page) {
			if f.stop(p) {
				p.end = how
			}
		}}
	}
	beforeDone := Fault{
		Name: "close-before-done", Says: "the connection ends after the last entry and before the end of the answer",
		page: func(f *firing, p *page) {
			if _, ok := f.here(p); ok {
				p.end = shut
			}
		},
	}
	midEntry := func(name, says string, needs Needs) Fault {
		return Fault{Name: name, Says: says, Needs: needs, page: func(f *firing, p *page) {
			i, ok := f.here(p)
			if !ok {
				return
			}
			if i < len(p.sent) {
				raw := p.sent[i].raw
				p.tail = raw[:len(raw)/2]
			}
			p.sent, p.end = p.sent[:i], reset
			if needs != NeedsTLS {
				p.end = shut
			}
		}}
	}
	notice := Fault{
		Name: "disconnect-notice", Says: "the server says that it ends the connection (RFC 4511 4.4.1)",
		page: func(f *firing, p *page) {
			if f.stop(p) {
				p.tail = envelope(0, result{code: codeUnavailable, text: "shutting down"}.operation(opExtendedResponse, tagged(10, oidDisconnect)))
				p.end = shut
			}
		},
	}
	return slices.Concat([]Fault{
		end("cut-mid-page", "the connection ends between two entries", shut),
		end("reset-mid-page", "the connection is reset between two entries", reset),
		end("hang", "the server falls silent and keeps the connection", hang),
		midEntry("cut-mid-entry", "the connection ends inside an entry", NeedsNothing),
		midEntry("tls-cut", "the encrypted connection ends inside an entry and without saying so", NeedsTLS),
		beforeDone,
		notice,
	}, brokenSpeech())
}

func brokenSpeech() []Fault {
	slow := Fault{
		Name: "slow", Says: "every entry from here on takes its time", Harmless: true,
		page: func(f *firing, p *page) {
			if p.first == 0 {
				f.strike()
			}
			at := f.entry(p.total) - p.first
			for i := range p.sent {
				if i >= at {
					p.sent[i].wait = f.at.Wait
				}
			}
		},
	}
	wrongID := Fault{
		Name: "wrong-message-id", Says: "the answer goes on under the number of another request",
		page: func(f *firing, p *page) {
			if i, ok := f.here(p); ok {
				for j := i; j < len(p.sent); j++ {
					p.sent[j].raw = otherID(p.sent[j].raw)
				}
				p.id += 1000
			}
		},
	}
	garbage := Fault{
		Name: "garbage", Says: "bytes that are no LDAP stand in the answer",
		page: func(f *firing, p *page) {
			if f.stop(p) {
				p.tail, p.end = []byte("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), shut
			}
		},
	}
	return []Fault{slow, wrongID, garbage}
}

// otherID writes another message id over that of an entry.
func otherID(raw []byte) []byte {
	out := slices.Clone(raw)
	head := 2
	if out[1] >= 0x80 {
		head += int(out[1] & 0x7f)
	}
	out[head+2] ^= 0x40 // the first byte of the INTEGER behind its tag and length
	return out
}

// missingPeople are answers that say they are complete and are not.
func missingPeople() []Fault {
	lost := func(name, says string, list func(*firing, []*node) []*node) Fault {
		return Fault{Name: name, Says: says, Silent: true, list: func(f *firing, before []*node) []*node {
			after := list(f, before)
			if len(after) < len(before) {
				f.strike()
			}
			return after
		}}
	}
	keep := func(list []*node, f func(int, *node) bool) []*node {
		var out []*node
		for i, n := range list {
			if f(i, n) {
				out = append(out, n)
			}
		}
		return out
	}
	return []Fault{
		lost("empty-success", "the search succeeds and finds nobody", func(*firing, []*node) []*node { return nil }),
		lost("half", "the search succeeds and finds every other entry", func(f *firing, list []*node) []*node {
			return keep(list, func(i int, _ *node) bool { return (i+f.at.Entry)%2 == 0 })
		}),
		lost("cut-list", "the search succeeds and ends at the place", func(f *firing, list []*node) []*node {
			return list[:min(len(list), f.entry(len(list)))]
		}),
		lost("missing-subtree", "the search succeeds without the entries below a container", func(f *firing, list []*node) []*node {
			return keep(list, func(_ int, n *node) bool { return !below(n.key, dnKey(f.at.Below)) })
		}),
		lost("dropped-entry", "the search succeeds without one entry", func(f *firing, list []*node) []*node {
			return keep(list, func(i int, _ *node) bool { return i != f.entry(len(list)) })
		}),
		{
			Name: "search-reference", Says: "a reference to another server stands in the answer instead of an entry",
			list: func(f *firing, list []*node) []*node {
				return keep(list, func(i int, _ *node) bool { return i != f.entry(len(list)) })
			},
			page: func(f *firing, p *page) {
				if i, ok := f.here(p); ok {
					p.sent = slices.Insert(p.sent, i, message{raw: envelope(p.id, operation(opReference, text("ldap://elsewhere.test/"+p.q.base)))})
				}
			},
		},
	}
}

// brokenEntries are entries that cannot be used.
func brokenEntries() []Fault {
	return []Fault{
		{
			Name: "duplicate-anchor", Says: "two entries have the same anchor",
			entry: func(f *firing, hit bool, n *node, list []values) []values {
				return f.one(hit, list, f.s.Kind.Anchor(), func([]string) []string { return f.twin(n) })
			},
		},
		{
			Name: "anchor-missing", Says: "an entry has no anchor",
			entry: func(f *firing, hit bool, _ *node, list []values) []values {
				return f.one(hit, list, f.s.Kind.Anchor(), func([]string) []string { return nil })
			},
		},
		{
			Name: "anchors-missing", Says: "no entry has an anchor, as after a change of access rights",
			entry: func(f *firing, _ bool, _ *node, list []values) []values { return f.without(list, f.s.Kind.Anchor()) },
		},
		{
			Name: "anchor-broken", Says: "an anchor has lost its last byte",
			entry: func(f *firing, hit bool, _ *node, list []values) []values {
				return f.one(hit, list, f.s.Kind.Anchor(), func(v []string) []string { return []string{v[0][:len(v[0])-1]} })
			},
		},
		{
			Name: "attribute-missing", Says: "an attribute is missing in all entries, as after a change of access rights", Silent: true,
			entry: func(f *firing, _ bool, _ *node, list []values) []values { return f.without(list, f.at.Attribute) },
		},
		{
			Name: "not-text", Says: "an attribute holds bytes that are no UTF-8",
			entry: func(f *firing, hit bool, _ *node, list []values) []values {
				return f.one(hit, list, f.at.Attribute, func([]string) []string { return []string{"\xff\xfe\x80"} })
			},
		},
		{
			Name: "entry-undecodable", Says: "an entry is not what the lengths in it say",
			page: func(f *firing, p *page) {
				if i, ok := f.here(p); ok && i < len(p.sent) {
					p.sent[i].raw = misshapen(p.sent[i].raw)
				}
			},
		},
	}
}

// one changes an attribute of the entry at the place.
func (f *firing) one(hit bool, list []values, name string, change func([]string) []string) []values {
	if !hit {
		return list
	}
	return f.alter(list, name, change)
}

func (f *firing) without(list []values, name string) []values {
	return f.alter(list, name, func([]string) []string { return nil })
}

func (f *firing) alter(list []values, name string, change func([]string) []string) []values {
	out := make([]values, 0, len(list))
	for _, a := range list {
		if strings.EqualFold(a.name, name) && len(a.list) > 0 {
			f.strike()
			if a.list = change(a.list); a.list == nil {
				continue
			}
		}
		out = append(out, a)
	}
	return out
}
