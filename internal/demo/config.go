package demo

import "fmt"

// Provider is the name of the source that identity providers push to.
const Provider = "idp"

// Config is the configuration a demo runs with: complete, and small enough to
// be read at once. The token comes from the variable MMSYNC_DEMO_TOKEN.
func Config(mattermostURL, scimAddress, dir string) []byte {
	return fmt.Appendf(nil, `version: 1
mattermost:
  url: %s
  token: ${MMSYNC_DEMO_TOKEN}
  rate_limit: {per_second: 1000}
state:
  url: sqlite:%s/state.db
sources:
  - name: directory
    type: file
    path: %s/people.ldif
    disabled_when: 'attr.employeeType == "disabled"'
  - name: `+Provider+`
    type: scim
scim:
  listen: %s
  status: on_request
  limits: {requests_per_second: 1000, burst: 2000}
mapping:
  defaults:
    id_attribute: attr.entryUUID
    username_attribute: lower(attr.uid)
    email_attribute: lower(attr.mail)
    first_name_attribute: attr.givenName
    last_name_attribute: attr.sn
    position_attribute: 'attr.title + " / " + attr.departmentNumber'
roles:
  - {role: system_admin, source: directory, groups: ["%s"], grant: allow}
log: {level: warn}
`, mattermostURL, dir, dir, scimAddress, AdminGroup)
}
