package identity

import "time"

// Part says what a Key may do with the Account it is linked to.
type Part string

// An account has exactly one owner. Contributors are other sources that know the
// person as well: while one of them has him he is not switched off for being missing
// from the owner's, and what a policy gives them authority over comes from them.
const (
	Owner       Part = "owner"
	Contributor Part = "contributor"
)

// Origin says how a Link came to be.
type Origin string

// The ways a Key meets an Account.
const (
	OriginCreated  Origin = "created"   // mmsync made the account
	OriginIntent   Origin = "intent"    // mmsync made it, but lost the answer
	OriginAuthData Origin = "auth_data" // same login service and exact value
	OriginOperator Origin = "operator"  // a person said so
	OriginMatch    Origin = "match"     // a contributor with a value that the owner has as well
)

// Link is the durable fact "this Key is this Account": ownership. Without a
// link no account is ever touched.
type Link struct {
	Key       Key
	AccountID string
	Part      Part
	Origin    Origin
	// Ref is the last place the source kept the person in (LDAP: the DN), so
	// that an undecodable entry can be joined and absences grouped by cause.
	Ref string
	// Applied is what mmsync last wrote or confirmed; it decides where the
	// server hides a value (auth data before 11.0). Of a contributor it is what the
	// source last said, which stands while the source cannot be read whole.
	Applied Applied
	// Observed is the account as last seen; nil until it was.
	Observed *Account
	// DeactivatedAt is the delete_at that mmsync's own call produced. Only while
	// the server shows exactly this value may mmsync reactivate. 0 means mmsync
	// did not deactivate the account.
	DeactivatedAt int64
	// Written is when mmsync last wrote to the account; such links are read
	// without since on the next pass.
	Written time.Time
	// Recheck is when mmsync last switched the account off or took a role away
	// and has not yet seen that it lasted: the server loses one of two writes
	// that come together. Zero means that nothing is waited for.
	Recheck time.Time
	// Undone counts how often that was seen undone.
	Undone    int
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Applied is the desired state a Link last brought to its Account; of a contributor,
// the state that its source last wanted, Active saying whether it had the person.
type Applied struct {
	Profile Profile `json:"profile"`
	// Owned are the fields of Profile that a contributor's source last spoke about; of
	// an owner it is empty. A contributor without any was not read yet.
	Owned  Attributes `json:"owned,omitempty"`
	Roles  Roles      `json:"roles,omitempty"` // the managed ones only
	Auth   Auth       `json:"auth"`
	Active bool       `json:"active"`
	// Username is the name chosen at creation if it differs from the wanted one
	// (collision suffix); it then stands in for the wanted one.
	Username string `json:"username,omitempty"`
	// Memberships are those that mmsync gave or found as wanted, for as long as they
	// are wanted. Who is in such a space no longer has left it by himself.
	Memberships Memberships `json:"memberships,omitempty"`
	// MatchKey is the Identity.MatchKey that the source last gave.
	MatchKey string `json:"match_key,omitempty"`
	// Manager is the account of whom the source last named as the person's manager, as far
	// as that was known; of somebody who has left, the last one he had.
	Manager string `json:"manager,omitempty"`
	// Hash is the Identity.Hash that was in force.
	Hash string `json:"hash,omitempty"`
	// Custom are the values of custom profile attributes that were set last; the account
	// does not show them.
	Custom map[string]string `json:"custom,omitempty"`
	// Picture is the Picture.Hash that was uploaded last, or that the source had when
	// the account was found to have a picture of its own.
	Picture string `json:"picture,omitempty"`
	// PictureAt is the account's PictureAt after that.
	PictureAt int64 `json:"picture_at,omitempty"`
	// PictureRefused is the Picture.Hash of the one that the server did not take.
	PictureRefused string `json:"picture_refused,omitempty"`
}
