package plan

// warnings says what should be known before the decisions are carried out. They
// come in a fixed order.
func warnings(list []Decision, f *Facts, p Policy) []string {
	if !f.LDAPLocked || p.DeleteEndpoint {
		return nil
	}
	n := 0
	for i := range list {
		for _, op := range list[i].Ops {
			if op.entersLDAP() {
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	what, leave := "1 account gets", "its person leaves"
	if n > 1 {
		what, leave = thousands(n)+" accounts get", "their people leave"
	}
	return []string{what + " the login service ldap, and this server (" + clean(f.Version) + ") lets only its own LDAP sync switch such accounts off: when " +
		leave + ", mmsync can end sessions and take roles, and no more; set lifecycle.deactivate.delete_endpoint: true to let it switch them off"}
}

// entersLDAP tells whether an account comes under the server's own LDAP sync by
// an Op.
func (o Op) entersLDAP() bool {
	switch o.Kind {
	case CreateAccount, SetAuth:
		for _, c := range o.Changes {
			if c.Field == FieldAuthService {
				return c.To == ldapService && c.From != ldapService
			}
		}
	default:
	}
	return false
}
