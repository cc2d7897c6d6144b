package ldaptest

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// splitDN takes the first name off a distinguished name (RFC 4514).
func splitDN(dn string) (rdn, parent string) {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			return dn[:i], strings.TrimLeft(dn[i+1:], " ")
		}
	}
	return dn, ""
}

// splitRDN gives type and value of a relative name with one value.
func splitRDN(rdn string) (name, value string) {
	name, value, _ = strings.Cut(rdn, "=")
	return strings.TrimSpace(name), unescapeDN(strings.TrimSpace(value))
}

func unescapeDN(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if i+2 < len(s) {
			if raw, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.Write(raw)
				i += 2
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

// EscapeRDN writes a value for use in a distinguished name (RFC 4514 2.4).
func EscapeRDN(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		switch {
		case strings.IndexByte(`,+"\<>;`, c) >= 0, i == 0 && (c == '#' || c == ' '), i == len(value)-1 && c == ' ':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// dnKey folds a distinguished name so that equal ones are the same string: case,
// insignificant space and the way of escaping do not count.
func dnKey(dn string) string {
	var b strings.Builder
	for rest := dn; rest != ""; {
		var rdn string
		rdn, rest = splitDN(rest)
		name, value := splitRDN(rdn)
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ToLower(name) + "=" + EscapeRDN(strings.ToLower(strings.Join(strings.Fields(value), " "))))
	}
	return b.String()
}

// below tells whether a folded name is the base or under it.
func below(key, base string) bool {
	return base == "" || key == base || strings.HasSuffix(key, ","+base)
}

// guidText writes the 16 bytes of an objectGUID as Microsoft does: its first three
// groups are little-endian.
func guidText(b string) string {
	if len(b) != 16 {
		return ""
	}
	swapped := []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}
	return fmt.Sprintf("%x-%x-%x-%x-%x", swapped[:4], swapped[4:6], swapped[6:8], b[8:10], b[10:16])
}

// uuidText writes 16 bytes in the order of RFC 4122.
func uuidText(b string) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// uniqueIDText writes 16 bytes as 389 Directory Server writes nsUniqueId.
func uniqueIDText(b string) string {
	return fmt.Sprintf("%x-%x-%x-%x", b[:4], b[4:8], b[8:12], b[12:16])
}
