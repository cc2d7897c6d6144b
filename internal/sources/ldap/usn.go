package ldap

import (
	"strconv"
)

// findByUSN finds what a domain controller has written since the mark, whether a change
// was made there or came from another one. Every domain controller counts for itself,
// so the mark was checked to be of this one. Deleted entries are among them if the bind
// account may see them; without that right the server shows none and says nothing.
func (c *changer) findByUSN() error {
	return c.walkChanged("(uSNChanged>=" + strconv.FormatUint(c.old.USN+1, 10) + ")")
}
