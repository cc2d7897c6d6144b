package sources

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"

	"github.com/mmsync/mmsync/internal/identity"
)

// digest hashes all of an Identity but Ref, Hash and why roles are unknown: fields in a fixed order,
// each with its length before it, so that no two identities share a text.
func digest(id identity.Identity) string {
	buf := make([]byte, 0, 512)
	put := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	put(id.Key.Source)
	put(id.Key.Anchor)
	put(strconv.FormatBool(id.Active))
	put(strconv.Itoa(int(id.Owned)))
	for _, a := range identity.AllAttributes() {
		if a == identity.Timezone && !id.Owned.Has(a) {
			continue // as it was before there was one, so that nobody has to be decided about anew
		}
		put(id.Profile.Value(a))
	}
	put(strconv.Itoa(len(id.Roles)))
	for _, r := range id.Roles {
		put(r)
	}
	put(id.Auth.Service)
	put(id.Auth.Data)
	put(id.MatchKey)
	put(id.Fault)
	if id.Picture != (identity.Picture{}) {
		put(id.Picture.Hash)
		put(id.Picture.Fault)
	}
	for _, name := range slices.Sorted(maps.Keys(id.Custom)) {
		put(name)
		put(id.Custom[name])
	}
	if len(id.People) > 0 {
		put("people") // who a text names is another thing than the text
	}
	for _, name := range slices.Sorted(maps.Keys(id.People)) {
		put(name)
		put(id.People[name])
	}
	if id.Manager != "" {
		put("\x00manager") // no name of anything else
		put(id.Manager)
	}
	if id.RolesUnknown != "" { // which is another thing than none
		put("\x00roles unknown")
	}
	for _, m := range id.Memberships { // last, so that whoever has none is digested as ever
		put(m.Space)
		put(strconv.FormatBool(m.Admin))
	}
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:16])
}
