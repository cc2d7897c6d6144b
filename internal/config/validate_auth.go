package config

import (
	"fmt"
	"slices"
	"strings"
)

// services are the login services an account can have.
func services() []string { return []string{"ldap", "saml", "gitlab", "google", "office365", "openid"} }

func (v *validator) auth(a *Auth) {
	names, known := v.sourceNames()
	everybody := map[string]int{} // source → line of its rule without a condition
	for i := range a.Policy {
		r, at := &a.Policy[i], indexPath("auth.policy", i)
		if r.Source != "" && known && !slices.Contains(names, r.Source) {
			v.fault(at+".source", "no source is named "+v.quote(at+".source"), v.sourceHint(r.Source, names))
		}
		v.service(at+".service", r.Service)
		if r.When.Text == "" && r.When.Line > 0 {
			v.fault(at+".when", "is empty", "write a condition, or remove the key: the rule is then for everybody of the source")
		}
		if v.doc.isBad(at+".source") || v.doc.isBad(at+".when") {
			continue
		}
		if line, ok := everybody[r.Source]; ok {
			v.fault(at, fmt.Sprintf("counts for nobody: the rule on line %d takes everybody of source %s", line, r.Source), "give that one a when, or put it behind this one")
			continue
		}
		if r.When.Line == 0 {
			everybody[r.Source] = v.doc.marks[at].line
		}
	}
}

// service refuses words that the server would store although nobody can log in
// with them.
func (v *validator) service(at, service string) {
	switch service {
	case "":
	case "email":
		v.fault(at, "email is not a login service", "remove the rule: without one a new account gets a password, and an existing one keeps its login")
	default:
		v.oneOf(at, service, services()...)
	}
}

// misplaced says of a key that people look for in a place why it is not there;
// "" for all others.
func misplaced(path, key string) (msg, hint string) {
	if path == "mapping.on_drift" && (key == "username" || key == "email") {
		return key + " is always restored: accounts are found by it", "the fields that can be reported are first_name, last_name, nickname, position, locale and timezone"
	}
	if key != "auth_service" && key != "auth_data_attribute" || path != "mapping.defaults" && !strings.HasPrefix(path, "mapping.sources.") {
		return "", ""
	}
	source := "corp"
	if name, ok := strings.CutPrefix(path, "mapping.sources."); ok {
		source = name
	}
	return "is no part of the mapping: auth.policy says which login people have",
		"write auth: {policy: [{source: " + source + ", service: saml, data: 'lower(attr.mail)'}]}, a rule for each source"
}

// Warnings gives what is allowed but may not do what was meant, ordered by line
// and column.
func (c *Config) Warnings() []*Error {
	var out []*Error
	warn := func(at, msg, hint string) {
		w := c.Fault(at, msg, hint)
		w.warning = true
		out = append(out, w)
	}
	pushed := -1
	for i := range c.Sources {
		if l := c.Sources[i].LDAP; l != nil && slices.ContainsFunc(l.ConnectionURL, globalCatalog) {
			warn(indexPath("sources", i)+".connection_url", "ports 3268 and 3269 are of a global catalog, which has some attributes only and in memberOf only universal groups",
				"name a domain controller without a port, or with 636 or 389")
		}
		if c.Sources[i].SCIM == nil {
			continue
		}
		if pushed = i; c.SCIM.Listen == "" {
			warn(indexPath("sources", i), "nothing can be pushed to source "+c.Sources[i].Name+": scim.listen is not set", "set scim: {listen: …} where mmsync is to be reached")
		}
	}
	if c.SCIM.Listen != "" && pushed < 0 {
		warn("scim.listen", "nobody can push anything: there is no source of type scim", "add one, or remove listen")
	}
	if c.Notices.deafSinks() {
		warn("notices.sinks", "all are in Mattermost: nobody hears that it takes mmsync's token no more", "add one of type email or webhook")
	}
	if at, why, hint := c.silentManagers(); why != "" {
		warn(indexPath("notices.sinks", at)+".type", why, hint)
	}
	if c.severalPages() {
		warn("admin.public_url", "with several instances behind it a login is good at the one that gave it alone: each makes a key of its own",
			"give all of them the same admin.login.session_key_file; a single instance can do without, and its logins end when it restarts")
	}
	for i, r := range c.Auth.Policy {
		if r.Service == "ldap" && !c.Lifecycle.Deactivate.DeleteEndpoint {
			warn(indexPath("auth.policy", i)+".service",
				"Mattermost 10.2 and later let only their own LDAP sync switch accounts with login service ldap off; of whoever leaves, mmsync could only end the sessions and raise an alarm",
				"set lifecycle.deactivate.delete_endpoint: true, and mmsync switches them off by DELETE, which those versions allow")
		}
	}
	slices.SortStableFunc(out, compareErrors)
	return out
}
