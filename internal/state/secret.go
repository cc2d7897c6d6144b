package state

// TokenPrefix begins the secret of every Token, so that a scanner for secrets finds
// one that went astray. Behind it stand 32 random bytes in base64url.
const TokenPrefix = "mms_"
