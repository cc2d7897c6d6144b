package sources

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/mmsync/mmsync/internal/identity"
)

// digest hashes all of an Identity but Ref and Hash: fields in a fixed order,
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
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:16])
}
