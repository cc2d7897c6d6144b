package ldap

import (
	"bufio"
	"io"
	"net"
	"sync"

	"github.com/go-ldap/ldap/v3"
)

// catcher stands between a server and the library, below which it takes the entries
// that a search finds out of what the server sends, and decodes them by itself: the
// library makes an object of every tag and a kilobyte of garbage of every value, which
// costs more than all else about a read. Everything else goes to the library as it came,
// and so does an entry that is not encoded as RFC 4511 asks, for the library to judge.
//
// It knows one search at a time.
type catcher struct {
	net.Conn
	in *bufio.Reader
	// back are bytes that were taken and go to the library after all; pass is how many
	// of those that follow do so, too, and blind says that all of them do.
	back  []byte
	pass  int
	blind bool
	names map[string]string // of attributes, one copy each

	mu    sync.Mutex
	armed bool
	id    int64 // of the request whose entries are caught; 0 before it was sent
	take  func(*ldap.Entry)
}

// catchBuffer is a page of entries at once, or nearly so.
const catchBuffer = 64 << 10

func newCatcher(c net.Conn) *catcher {
	return &catcher{Conn: c, in: bufio.NewReaderSize(c, catchBuffer), names: map[string]string{}}
}

// begin catches the entries that the next search of this connection finds. They are
// handed on as they come, by a goroutine of the library's, none after end.
func (c *catcher) begin(take func(*ldap.Entry)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.id, c.take = true, 0, take
}

func (c *catcher) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.take = false, nil
}

// Write notes the number of a search that is sent. The library writes each request whole.
func (c *catcher) Write(p []byte) (int, error) {
	if h, missing := headOf(p); missing == 0 && h.tag == tagSearch {
		c.mu.Lock()
		if c.armed && c.id == 0 {
			c.id = h.id
		}
		c.mu.Unlock()
	}
	return c.Conn.Write(p)
}

func (c *catcher) Read(p []byte) (int, error) {
	for len(p) > 0 && len(c.back) == 0 && c.pass == 0 && !c.blind {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	switch {
	case len(c.back) > 0:
		n := copy(p, c.back)
		c.back = c.back[n:]
		return n, nil
	case c.blind:
		return c.in.Read(p)
	}
	n, err := c.in.Read(p[:min(len(p), c.pass)])
	c.pass -= n
	return n, err
}

// next looks at a message that begins, and catches it or lets it pass.
func (c *catcher) next() error {
	h, missing := head{}, 2
	for got := 0; missing > 0; {
		b, err := c.in.Peek(got + missing) // no more than the message has
		if err != nil && len(b) == 0 {
			return err
		}
		if err != nil {
			missing = -1
			break
		}
		got = len(b)
		h, missing = headOf(b)
	}
	if missing < 0 || h.size > maxMessage {
		c.blind = true
		return nil
	}
	if h.tag != tagEntry || !c.wants(h.id) {
		c.pass = h.size
		return nil
	}
	e, err := c.read(h.size)
	if e == nil || err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed && c.id == h.id {
		c.take(e)
	}
	return nil
}

// read takes the entry of a message of that size; if there is none, what came goes to
// the library.
func (c *catcher) read(size int) (*ldap.Entry, error) {
	b, err := c.in.Peek(min(size, c.in.Size()))
	if err != nil {
		c.blind = true
		return nil, nil //nolint:nilerr,nilnil // the library comes upon the error behind those bytes
	}
	if size == len(b) {
		e, ok := c.entry(b)
		if !ok {
			c.pass = size
			return nil, nil //nolint:nilnil // "no entry" is an answer of its own
		}
		_, err := c.in.Discard(size)
		return e, err
	}
	b = make([]byte, size)
	n, err := io.ReadFull(c.in, b)
	if err == nil {
		if e, ok := c.entry(b); ok {
			return e, nil
		}
	}
	c.back, c.blind = b[:n], err != nil
	return nil, nil //nolint:nilnil // as above
}

func (c *catcher) wants(id int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.armed && c.id == id
}

// The tags of what an entry is made of, and of a request for some (RFC 4511 4.5.1,
// 4.5.2 and 5.1).
const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagSequence = 0x30
	tagSet      = 0x31
	tagSearch   = 0x63
	tagEntry    = 0x64
)

// head is what a message begins with: its size with all of that, the number of its
// request and the tag of its operation.
type head struct {
	size int
	id   int64
	tag  byte
}

// headOf reads a head from the first bytes of a message. missing is how many more of
// them have to be seen, negative if this is no message.
func headOf(b []byte) (h head, missing int) {
	if len(b) < 2 {
		return h, 2 - len(b)
	}
	at, size, ok := lengthOf(b)
	switch {
	case b[0] != tagSequence || !ok:
		return h, -1
	case len(b) < at:
		return h, at - len(b)
	case size < 5: // a number and an operation without anything take that many
		return h, -1
	case len(b) < at+2:
		return h, at + 2 - len(b)
	}
	digits := int(b[at+1])
	tag := at + 2 + digits
	switch {
	case b[at] != tagInteger || digits < 1 || digits > 4 || tag >= at+size:
		return h, -1
	case len(b) <= tag:
		return h, tag + 1 - len(b)
	}
	h = head{size: at + size, tag: b[tag]}
	for _, c := range b[at+2 : tag] {
		h.id = h.id<<8 | int64(c)
	}
	return h, 0
}

// lengthOf reads the length behind the first tag of a text in BER, which is definite and
// of four bytes at most (RFC 4511 5.1), and where that ends. A length that is cut off
// begins where the bytes end that are missing.
func lengthOf(b []byte) (at, size int, ok bool) {
	if b[1] < 0x80 {
		return 2, int(b[1]), true
	}
	n := int(b[1] - 0x80)
	if n < 1 || n > 4 {
		return 0, 0, false
	}
	for i := 2; i < min(2+n, len(b)); i++ {
		size = size<<8 | int(b[i])
	}
	return 2 + n, size, size >= 0
}
