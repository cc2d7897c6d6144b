package mattermost

import (
	"crypto/rand"
	"math/big"
)

const (
	passwordLength = 64 // bytes; the most that every server takes, and the least that one can be set to ask for
	lower          = "abcdefghijkmnopqrstuvwxyz"
	upper          = "ABCDEFGHJKLMNPQRSTUVWXYZ"
	digits         = "23456789"
	symbols        = "!#$%&()*+,-./:;<=>?@[]^_{|}~"
)

// randomPassword makes a password that nobody will know, for accounts that log
// in by one: it holds all four classes of characters a server can ask for. It
// must go nowhere but into the request.
func randomPassword() string {
	all := lower + upper + digits + symbols
	p := make([]byte, 0, passwordLength)
	for _, class := range []string{lower, upper, digits, symbols} {
		p = append(p, pick(class))
	}
	for len(p) < passwordLength {
		p = append(p, pick(all))
	}
	for i := len(p) - 1; i > 0; i-- {
		j := draw(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return string(p)
}

func pick(from string) byte { return from[draw(len(from))] }

func draw(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil { // crypto/rand ends the program rather than returning one
		panic(err)
	}
	return int(v.Int64())
}
