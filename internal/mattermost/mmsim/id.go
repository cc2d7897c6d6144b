package mmsim

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"
)

// idAlphabet is the one Mattermost writes its ids in.
const idAlphabet = "ybndrfg8ejkmcpqxot1uwisza345h769"

type idSource struct {
	mu  sync.Mutex
	rnd *rand.ChaCha8
}

func newIDSource(seed uint64) *idSource {
	var key [32]byte
	if seed == 0 {
		_, _ = crand.Read(key[:]) // never fails
	} else {
		binary.LittleEndian.PutUint64(key[:], seed)
	}
	return &idSource{rnd: rand.NewChaCha8(key)}
}

func (s *idSource) id() string { return s.text(26) }

func (s *idSource) text(n int) string {
	var raw [64]byte
	s.mu.Lock()
	_, _ = s.rnd.Read(raw[:n]) // never fails
	s.mu.Unlock()
	for i, c := range raw[:n] {
		raw[i] = idAlphabet[c&31]
	}
	return string(raw[:n])
}

// isID tells whether s has the form of an id, not whether anything has it.
func isID(s string) bool {
	if len(s) != 26 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
