package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (v *validator) notices(n *Notices) {
	const at = "notices."
	v.lasts(at+"repeat_after", n.RepeatAfter, time.Hour, 30*day)
	v.lasts(at+"leaver_held_after", n.LeaverHeldAfter, time.Minute, day)
	v.between(at+"runs_failed", n.RunsFailed, 0, 50)
	v.offOr(at+"source_stale_after", n.SourceStaleAfter, 10*time.Minute, 365*day)
	v.offOr(at+"idp_silent_after", n.IDPSilentAfter, 10*time.Minute, 365*day)
	v.between(at+"seats_left", n.SeatsLeft, 0, 1_000_000)
	v.lasts(at+"expiring_within", n.ExpiringWithin, 0, 365*day)
	lines := map[string]int{}
	for i := range n.Sinks {
		s, at := &n.Sinks[i], indexPath("notices.sinks", i)
		switch first := lines[s.Name]; {
		case s.Name == "":
		case !sourceName.MatchString(s.Name):
			v.fault(at+".name", "want lower-case letters, digits and -, at most 32 and a letter first, found "+v.quote(at+".name"), "")
		case first > 0:
			v.fault(at+".name", fmt.Sprintf("is the name of the sink on line %d already", first), "what each was told is kept under its name")
		default:
			lines[s.Name] = v.doc.marks[at+".name"].line
		}
		if s.MinSeverity == "" {
			s.MinSeverity = SeverityWarn
		}
		v.oneOf(at+".min_severity", s.MinSeverity, SeverityWarn, SeverityAlarm)
		v.sink(at, s)
	}
}

// offOr lets 0 stand beside what lasts takes.
func (v *validator) offOr(at string, value, low, high time.Duration) {
	if value != 0 {
		v.lasts(at, value, low, high)
	}
}

// sinkKeys are the keys that a type of sink has besides those of all.
func sinkKeys(typ string) []string {
	switch typ {
	case SinkMattermost:
		return []string{"channel", "details"}
	case SinkWebhook:
		return []string{"url", "url_file", "secret", "secret_file", "allow_http", "ca_file"}
	case SinkEmail:
		return []string{"server", "security", "username", "password", "password_file", "from", "to", "ca_file"}
	}
	return nil
}

func sinkHint(typ string) string {
	if typ == SinkManager {
		return "remove it: whom it writes to, the key manager of each source says"
	}
	return "it has " + strings.Join(sinkKeys(typ), ", ")
}

func (v *validator) sink(at string, s *Sink) {
	types := []string{SinkMattermost, SinkWebhook, SinkEmail, SinkManager}
	if s.Type == "" || !v.oneOf(at+".type", s.Type, types...) {
		return
	}
	for _, typ := range types {
		for _, key := range sinkKeys(typ) {
			if _, written := v.doc.marks[at+"."+key]; written && !slices.Contains(sinkKeys(s.Type), key) && !slices.Contains(v.told(at), key) {
				v.fault(at+"."+key, "is no key of a sink of type "+s.Type, sinkHint(s.Type))
			}
		}
	}
	switch s.Type {
	case SinkMattermost:
		v.channel(at+".channel", s.Channel)
	case SinkWebhook:
		v.webhook(at, s)
	case SinkEmail:
		v.email(at, s)
	case SinkManager:
		if s.MinSeverity == SeverityAlarm {
			v.fault(at+".min_severity", "that somebody has left is a warning, so that this sink would never be told anything", "remove it, or write warn")
		}
	}
}

// told gives the keys of a sink about which a fault was found already.
func (v *validator) told(at string) []string {
	var out []string
	for _, key := range []string{"channel", "details", "url", "secret", "allow_http", "server", "security", "username", "password", "from", "to", "ca_file"} {
		if v.doc.isBad(at + "." + key) {
			out = append(out, key)
		}
	}
	return out
}

var channelName = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*|[a-z0-9]{26})$`)

func (v *validator) channel(at, name string) {
	switch {
	case v.doc.isBad(at):
	case name == "":
		v.fault(at, "is required", "write team/channel, as in the channel's address")
	case !channelName.MatchString(name):
		v.fault(at, v.quote(at)+" is not team/channel", "write both as in the channel's address, such as ops/identity, or the channel's id")
	}
}

func (v *validator) webhook(at string, s *Sink) {
	s.CAFile = v.caFile(at+".ca_file", s.CAFile)
	key := at + ".url"
	if s.URL.File() != "" {
		key = at + ".url_file"
	}
	if v.doc.isBad(at+".url") || v.doc.isBad(at+".url_file") {
		return
	}
	if !s.URL.IsSet() {
		v.fault(at+".url", "is required", "set url, or url_file to the name of a file that holds it")
		return
	}
	value, err := s.URL.Value()
	if err != nil {
		v.fault(key, err.Error(), "")
		return
	}
	// The address commonly is the secret: neither it nor the parser's error is shown.
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.fault(key, "is not an address", "write https://hooks.example.com/…")
	case u.Scheme == "http" && !s.TakesHTTP() && !isLoopback(u.Hostname()):
		v.fault(key, "over http anybody on the way could read it", "write https://, or set allow_http: true if the network between is yours")
	}
}

func (v *validator) email(at string, s *Sink) {
	s.CAFile = v.caFile(at+".ca_file", s.CAFile)
	if s.Security == "" {
		s.Security = MailStartTLS
	}
	v.oneOf(at+".security", s.Security, MailStartTLS, MailTLS, MailPlain)
	v.mailServer(at, s)
	switch {
	case s.Username != "" && !s.Password.IsSet() && !v.doc.isBad(at+".password") && !v.doc.isBad(at+".password_file"):
		v.fault(at+".password", "is required beside username", "set password, or password_file to the name of a file that holds it")
	case s.Username == "" && s.Password.IsSet():
		v.fault(at+".username", "is required beside password", "")
	}
	v.address(at+".from", s.From)
	if len(s.To) == 0 && !v.doc.isBad(at+".to") {
		v.fault(at+".to", "is required", "write the addresses that are mailed to")
	}
	for i, to := range s.To {
		v.address(indexPath(at+".to", i), to)
	}
}

func (v *validator) mailServer(at string, s *Sink) {
	key := at + ".server"
	host, port, err := net.SplitHostPort(s.Server)
	_, badPort := strconv.ParseUint(port, 10, 16)
	switch {
	case v.doc.isBad(key):
	case s.Server == "":
		v.fault(key, "is required", "write host:port, such as smtp.example.com:587")
	case err != nil || badPort != nil || host == "":
		v.fault(key, v.quote(key)+" is not host:port", "write smtp.example.com:587")
	case s.Security == MailPlain && !isLoopback(host):
		v.fault(at+".security", "without TLS anybody on the way could read the mails, and the password", "write starttls or tls; none is for a server on this machine")
	}
}

func (v *validator) address(at, text string) {
	switch _, err := mail.ParseAddress(text); {
	case v.doc.isBad(at):
	case text == "":
		v.fault(at, "is required", "write an address, such as mmsync@example.com")
	case err != nil:
		v.fault(at, v.quote(at)+" is not an e-mail address", "write ops@example.com, or Ops <ops@example.com>")
	}
}

// deafSinks tells whether nobody would hear that Mattermost takes the token no more.
func (n *Notices) deafSinks() bool {
	return len(n.Sinks) > 0 && !slices.ContainsFunc(n.Sinks, func(s Sink) bool { return s.Type != SinkMattermost && s.Type != SinkManager })
}

// silentManagers says why a sink of type manager would never write to anybody, and what to
// do about it; "" if it would, or if there is none. at is its place in the list.
func (c *Config) silentManagers() (at int, why, hint string) {
	at = slices.IndexFunc(c.Notices.Sinks, func(s Sink) bool { return s.Type == SinkManager })
	switch {
	case at < 0:
	case !c.Notices.Leavers:
		return at, "nobody is written to: notices.leavers is false", "set notices.leavers: true, and sinks that take warnings are told of leavers as well"
	case !slices.ContainsFunc(c.Sources, func(s Source) bool { return s.Manager.Text != "" }):
		return at, "nobody is written to: no source has the key manager, so that nobody's is known", "set it to the attribute that names him, such as manager: attr.manager"
	}
	return at, "", ""
}
