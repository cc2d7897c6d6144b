package identity

import "time"

// Part says what a Key may do with the Account it is linked to.
type Part string

// An account has exactly one owner; contributors only prove that a second
// source knows the person as well.
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
	// server hides a value (auth data before 11.0).
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

// Applied is the desired state a Link last brought to its Account.
type Applied struct {
	Profile Profile `json:"profile"`
	Roles   Roles   `json:"roles,omitempty"` // the managed ones only
	Auth    Auth    `json:"auth"`
	Active  bool    `json:"active"`
	// Username is the name chosen at creation if it differs from the wanted one
	// (collision suffix); it then stands in for the wanted one.
	Username string `json:"username,omitempty"`
	// MatchKey is the Identity.MatchKey that the source last gave.
	MatchKey string `json:"match_key,omitempty"`
	// Hash is the Identity.Hash that was in force.
	Hash string `json:"hash,omitempty"`
}
