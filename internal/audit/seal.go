package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// KeyBytes and SaltBytes are the lengths of a key and of a row's salt.
const (
	KeyBytes  = 32
	SaltBytes = 16
)

// Key seals. It shows itself nowhere.
type Key struct {
	secret  [KeyBytes]byte
	earlier *Key // what sealed before it, as far as that is at hand
}

// NewKey makes a Key of exactly KeyBytes bytes.
func NewKey(secret []byte) (Key, error) {
	var k Key
	if len(secret) != KeyBytes {
		return k, fmt.Errorf("the key has %d bytes, not %d", len(secret), KeyBytes)
	}
	copy(k.secret[:], secret)
	return k, nil
}

// Derive gives a key for another purpose. It tells nothing of this one.
func (k Key) Derive(purpose string) [32]byte {
	m := hmac.New(sha256.New, k.secret[:])
	put(m, labelDerived, purpose)
	return [32]byte(m.Sum(nil))
}

// After gives the key with the one that sealed before it, whose proofs count as well.
func (k Key) After(earlier Key) Key {
	k.earlier = &earlier
	return k
}

// Fingerprint names the key without telling it.
func (k Key) Fingerprint() string {
	h := sha256.New()
	put(h, labelFingerprint, string(k.secret[:]))
	return Hex(h.Sum(nil)[:8]).String()
}

// knows tells whether the key with a fingerprint is this one, or at hand with it.
func (k *Key) knows(fingerprint string) bool {
	for at := k; at != nil; at = at.earlier {
		if at.Fingerprint() == fingerprint {
			return true
		}
	}
	return false
}

// gives tells whether this key, or one before it, makes a proof, and how many keys
// lie between; negative if none does.
func (k *Key) gives(proof Hex, of func(*Key) Hex) (age int) {
	for at := k; at != nil; at = at.earlier {
		if hmac.Equal(of(at), proof) {
			return age
		}
		age++
	}
	return -1
}

// sealedAs tells whether a seal is one that the batch can have of the keys at hand.
func (k *Key) sealedAs(b *Batch, seal Hex) bool {
	return k.gives(seal, func(k *Key) Hex { return k.seal(b) }) >= 0
}

func (k *Key) forgot(r *Row) bool {
	return k.gives(r.ForgetMAC, func(k *Key) Hex { return k.forgetMAC(r) }) >= 0
}

func (k *Key) pruned(b *Batch) bool {
	return k.gives(b.PruneMAC, func(k *Key) Hex { return k.pruneMAC(b) }) >= 0
}

// String hides the key.
func (k Key) String() string { return "<secret>" }

// Format hides the key from every verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "<secret>") } // fmt knows if it failed

// Hex is a digest or a seal; its text is hexadecimal.
type Hex []byte

// String gives the digits.
func (h Hex) String() string { return hex.EncodeToString(h) }

// MarshalText gives the digits.
func (h Hex) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads digits; no digits are no bytes.
func (h *Hex) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*h = nil
		return nil
	}
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// Row is one sealed event. Times count in microseconds.
type Row struct {
	ID        int64
	Batch     int64
	At        time.Time
	Kind      string
	Run       string
	Key       identity.Key
	AccountID string
	Body      string // JSON of a Body
	// Personal is the JSON of a Personal, Salt what its digest was salted with;
	// both are empty once they were forgotten, and ForgetMAC proves by whom.
	Personal       string
	Salt           Hex
	PersonalDigest Hex
	// Digest is over all of the above but Personal and Salt.
	Digest    Hex
	ForgetMAC Hex
}

// Batch seals Rows rows from FirstRow on.
type Batch struct {
	ID       int64
	Run      string // the run that sealed it
	FirstRow int64
	Rows     int64
	Root     Hex
	Previous Hex // the seal of the batch before; empty for the first
	Seal     Hex
	SealedAt time.Time
	// PrunedAt is when retention removed the rows, PruneMAC proves that it did.
	PrunedAt time.Time
	PruneMAC Hex
}

// Head names the end of a chain. Batch 0 with a Seal is a batch whose number is
// not known.
type Head struct {
	Batch int64
	Seal  Hex
}

// HeadOf gives the head of a chain that ends with b.
func HeadOf(b Batch) Head { return Head{Batch: b.ID, Seal: b.Seal} }

// Seal makes the batch after last (nil for the first) of at least one event. It
// takes a salt of SaltBytes random bytes for each.
func (k Key) Seal(last *Batch, run string, events []Event, salts []Hex, at time.Time) (Batch, []Row, error) {
	b := Batch{ID: 1, FirstRow: 1, Run: run, Rows: int64(len(events)), SealedAt: at.UTC().Truncate(time.Microsecond)}
	if last != nil {
		b.ID, b.FirstRow, b.Previous = last.ID+1, last.FirstRow+last.Rows, last.Seal
	}
	if len(events) == 0 || len(salts) != len(events) {
		return b, nil, fmt.Errorf("seal %d events with %d salts: needs one for each, and an event", len(events), len(salts))
	}
	rows := make([]Row, len(events))
	root := newRoot()
	for i := range events {
		r, err := newRow(b.FirstRow+int64(i), b.ID, &events[i], salts[i])
		if err != nil {
			return b, nil, err
		}
		rows[i] = r
		root.add(r.Digest)
	}
	b.Root = root.sum()
	b.Seal = k.seal(&b)
	return b, rows, nil
}

func newRow(id, batch int64, e *Event, salt Hex) (Row, error) {
	r := Row{
		ID: id, Batch: batch, At: e.At.UTC().Truncate(time.Microsecond), Kind: e.Kind, Run: e.Run, Key: e.Key, AccountID: e.AccountID, Salt: salt,
	}
	if len(salt) != SaltBytes {
		return r, fmt.Errorf("row %d: a salt of %d bytes, not %d", id, len(salt), SaltBytes)
	}
	var err error
	if r.Body, err = encode(&e.Body); err != nil {
		return r, err
	}
	if r.Personal, err = encode(&e.Personal); err != nil {
		return r, err
	}
	r.PersonalDigest = personalDigest(r.Salt, r.Personal)
	r.Digest = r.digest()
	return r, nil
}

// Forget gives the row without what it holds of a person.
func (k Key) Forget(r Row) Row {
	r.Personal, r.Salt, r.ForgetMAC = "", nil, k.forgetMAC(&r)
	return r
}

// Prune gives the batch as it stands once its rows are gone.
func (k Key) Prune(b Batch, at time.Time) Batch {
	b.PrunedAt = at.UTC().Truncate(time.Microsecond)
	b.PruneMAC = k.pruneMAC(&b)
	return b
}

// Made tells whether the batch's seal is this key's, or that of one before it, over
// the fields it has.
func (k Key) Made(b Batch) bool { return k.sealedAs(&b, b.Seal) }

// The first field of everything that is hashed says what it is, so that no digest
// of one kind can stand for another.
const (
	labelPersonal = "mmsync audit 1 personal"
	labelRow      = "mmsync audit 1 row"
	labelRoot     = "mmsync audit 1 root"
	labelSeal     = "mmsync audit 1 seal"
	labelForget   = "mmsync audit 1 forget"
	labelPrune    = "mmsync audit 1 prune"
	labelKept     = "mmsync audit 1 kept"
	labelEnd      = "mmsync audit 1 end"

	labelFingerprint = "mmsync audit 1 fingerprint"
	labelDerived     = "mmsync key 1 derived"
)

func personalDigest(salt Hex, personal string) Hex {
	h := sha256.New()
	put(h, labelPersonal, string(salt), personal)
	return h.Sum(nil)
}

func (r *Row) digest() Hex {
	h := sha256.New()
	put(h, labelRow)
	number(h, r.ID, r.Batch, micro(r.At))
	put(h, r.Kind, r.Run, r.Key.Source, r.Key.Anchor, r.AccountID, r.Body, string(r.PersonalDigest))
	return h.Sum(nil)
}

// root adds up the digests of a batch's rows, in order.
type root struct {
	h hash.Hash
	n int64
}

func newRoot() *root { return newSum(labelRoot) }

func newSum(label string) *root {
	r := &root{h: sha256.New()}
	put(r.h, label)
	return r
}

func (r *root) add(d Hex) {
	put(r.h, string(d))
	r.n++
}

func (r *root) sum() Hex {
	number(r.h, r.n)
	return r.h.Sum(nil)
}

func (k *Key) mac() hash.Hash { return hmac.New(sha256.New, k.secret[:]) }

func (k *Key) seal(b *Batch) Hex {
	h := k.mac()
	put(h, labelSeal, string(b.Previous))
	number(h, b.ID)
	put(h, b.Run)
	number(h, b.FirstRow, b.Rows)
	put(h, string(b.Root))
	number(h, micro(b.SealedAt))
	return h.Sum(nil)
}

func (k *Key) forgetMAC(r *Row) Hex {
	h := k.mac()
	put(h, labelForget, string(r.Digest))
	number(h, r.ID, r.Batch)
	return h.Sum(nil)
}

func (k *Key) pruneMAC(b *Batch) Hex {
	h := k.mac()
	put(h, labelPrune, string(b.Seal))
	number(h, micro(b.PrunedAt))
	return h.Sum(nil)
}

func (k *Key) keptMAC(head Head, sum Hex) Hex {
	h := k.mac()
	put(h, labelEnd, string(head.Seal), string(sum))
	number(h, head.Batch)
	return h.Sum(nil)
}

// put writes texts with their lengths, so that no two lists look the same.
func put(h hash.Hash, fields ...string) {
	for _, f := range fields {
		number(h, int64(len(f)))
		h.Write([]byte(f))
	}
}

func number(h hash.Hash, numbers ...int64) {
	var b [8]byte
	for _, n := range numbers {
		binary.BigEndian.PutUint64(b[:], uint64(n)) //nolint:gosec // the bits count, not the sign
		h.Write(b[:])
	}
}

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
