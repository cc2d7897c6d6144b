package ldap

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// wireEntry is a message with a SearchResultEntry.
func wireEntry(id int64, dn string, attributes ...ldap.EntryAttribute) []byte {
	p := ber.NewSequence("message")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, "number"))
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "entry")
	op.AppendChild(octets(dn))
	list := ber.NewSequence("attributes")
	for _, a := range attributes {
		one, values := ber.NewSequence("attribute"), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "values")
		one.AppendChild(octets(a.Name))
		for _, v := range a.Values {
			values.AppendChild(octets(v))
		}
		one.AppendChild(values)
		list.AppendChild(one)
	}
	op.AppendChild(list)
	p.AppendChild(op)
	return p.Bytes()
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// wireDone is a message that ends a search.
func wireDone(id int64) []byte {
	p := ber.NewSequence("message")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, "number"))
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultDone, nil, "done")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, 0, "code"))
	op.AppendChild(octets(""))
	op.AppendChild(octets(""))
	p.AppendChild(op)
	return p.Bytes()
}

// byLibrary decodes what a server sends with the library alone.
func byLibrary(t testing.TB, sent []byte) ([]*ldap.Entry, error) {
	return searchOver(t, sent, func(c net.Conn) (net.Conn, func() []*ldap.Entry) {
		return c, func() []*ldap.Entry { return nil }
	})
}

// byCatcher decodes it as a session does.
func byCatcher(t testing.TB, sent []byte) ([]*ldap.Entry, error) {
	return searchOver(t, sent, func(c net.Conn) (net.Conn, func() []*ldap.Entry) {
		var caught []*ldap.Entry
		k := newCatcher(c)
		k.begin(func(e *ldap.Entry) { caught = append(caught, e) })
		return k, func() []*ldap.Entry { k.end(); return caught }
	})
}

// replay is a connection on which a server sends what it was told to, after the first
// request, one or a few bytes at a time.
type replay struct {
	net.Conn // nil: nothing else of it is used
	asked    chan struct{}
	from     io.Reader
	closed   chan struct{}
}

func (r *replay) Write(p []byte) (int, error) {
	select {
	case <-r.asked:
	default:
		close(r.asked)
	}
	return len(p), nil
}

func (r *replay) Read(p []byte) (int, error) {
	select {
	case <-r.asked:
		return r.from.Read(p)
	case <-r.closed:
		return 0, net.ErrClosed
	}
}

func (r *replay) Close() error {
	select {
	case <-r.closed:
	default:
		close(r.closed)
	}
	return nil
}

func searchOver(t testing.TB, sent []byte, with func(net.Conn) (net.Conn, func() []*ldap.Entry)) ([]*ldap.Entry, error) {
	t.Helper()
	line := &replay{asked: make(chan struct{}), closed: make(chan struct{}), from: iotest.HalfReader(bytes.NewReader(sent))}
	c, caught := with(line)
	l := ldap.NewConn(c, false)
	l.Start()
	res, err := l.Search(query{base: "dc=test", filter: "(uid=*)"}.request(ldap.ScopeWholeSubtree))
	_ = l.Close()
	if err != nil {
		return nil, err
	}
	list := append(append([]*ldap.Entry{}, caught()...), res.Entries...)
	for _, e := range list {
		for _, a := range e.Attributes {
			a.ByteValues = nil
		}
	}
	return list, nil
}

// What is decoded here is what the library would have made of it.
func TestCatcher_likeTheLibrary(t *testing.T) {
	t.Parallel()
	long := make([]string, 3000)
	for i := range long {
		long[i] = strings.Repeat("m", i%200)
	}
	attribute := func(name string, values ...string) ldap.EntryAttribute {
		return ldap.EntryAttribute{Name: name, Values: values}
	}
	odd := wireEntry(1, "uid=a", attribute("uid", "a"))
	odd[len(odd)-3] = 0x0c // a UTF8String, which is no octet string and no less a text
	foreign := wireEntry(7, "uid=b", attribute("uid", "b"))
	for name, sent := range map[string][][]byte{
		"nobody":               {wireDone(1)},
		"one":                  {wireEntry(1, "uid=a,dc=test", attribute("uid", "a"), attribute("mail", "a@example.test", "b@example.test")), wireDone(1)},
		"no attribute":         {wireEntry(1, "uid=a,dc=test"), wireDone(1)},
		"no value":             {wireEntry(1, "uid=a,dc=test", attribute("uid"), attribute("sn", "")), wireDone(1)},
		"the root":             {wireEntry(1, "", attribute("uid", "a")), wireDone(1)},
		"no text":              {wireEntry(1, "uid=\xff", attribute("objectGUID", "\x00\x01\xfe\xff")), wireDone(1)},
		"lists longer than 64": {wireEntry(1, "cn=g", attribute("member", long...)), wireEntry(1, "cn=h", attribute("member", long[:90]...)), wireDone(1)},
		"one and another":      {wireEntry(1, "uid=a"), wireEntry(1, "uid=b"), wireDone(1)},
		"another kind of text": {odd, wireDone(1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := bytes.Join(sent, nil)
			want, err := byLibrary(t, all)
			require.NoError(t, err)
			got, err := byCatcher(t, all)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Len(t, got, len(sent)-1)
		})
	}
	t.Run("of somebody else's search", func(t *testing.T) {
		t.Parallel()
		_, err := byLibrary(t, append(foreign, wireDone(1)...))
		_, err2 := byCatcher(t, append(foreign, wireDone(1)...))
		require.Equal(t, err != nil, err2 != nil)
	})
	t.Run("cut at each byte", func(t *testing.T) {
		t.Parallel()
		all := append(wireEntry(1, "uid=a,dc=test", attribute("uid", "a")), wireDone(1)...)
		for n := range all {
			_, err := byCatcher(t, all[:n])
			require.Error(t, err, n)
		}
	})
}

// A value that is kept does not keep a long message in memory, and a name is there once.
func TestCatcher_entry_memory(t *testing.T) { //nolint:paralleltest // it counts what is allocated meanwhile
	k := newCatcher(nil)
	values := make([]string, 100)
	for i := range values {
		values[i] = strings.Repeat("v", 100)
	}
	message := wireEntry(1, "cn=g", ldap.EntryAttribute{Name: "member", Values: values})
	var e *ldap.Entry
	allocs := testing.AllocsPerRun(10, func() { e, _ = k.entry(message) })
	require.Equal(t, values, e.Attributes[0].Values)
	require.GreaterOrEqual(t, allocs, 100.0, "each has a text of its own")
	message = wireEntry(1, "uid=a", ldap.EntryAttribute{Name: "uid", Values: []string{"a"}}, ldap.EntryAttribute{Name: "mail", Values: []string{"a", "b"}})
	allocs = testing.AllocsPerRun(10, func() { e, _ = k.entry(message) })
	require.LessOrEqual(t, allocs, 5.0)
}

// Whatever a server sends, a search ends as it ends with the library alone, and with
// the same entries.
func FuzzCatcher(f *testing.F) {
	one := wireEntry(1, "uid=a,dc=test", ldap.EntryAttribute{Name: "uid", Values: []string{"a"}})
	f.Add(append(one, wireDone(1)...))
	f.Add(append(wireEntry(1, "", ldap.EntryAttribute{Name: "x"}), wireDone(1)...))
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 5, 2, 1, 1, 0x64, 0})
	f.Add([]byte{0x30, 0x80, 2, 1, 1, 0x64, 0, 0, 0})
	f.Fuzz(func(t *testing.T, sent []byte) {
		sent = append(sent, wireDone(1)...)
		want, err := byLibrary(t, sent)
		got, err2 := byCatcher(t, sent)
		if err != nil {
			require.Error(t, err2)
			return
		}
		require.NoError(t, err2)
		require.ElementsMatch(t, want, got)
	})
}

func TestHeadOf(t *testing.T) {
	t.Parallel()
	whole := wireEntry(300, strings.Repeat("d", 300))
	for n := range len(whole) {
		h, missing := headOf(whole[:n])
		if missing > 0 {
			require.LessOrEqual(t, n+missing, len(whole))
			continue
		}
		require.Zero(t, missing)
		require.Equal(t, head{size: len(whole), id: 300, tag: tagEntry}, h)
	}
	for name, b := range map[string][]byte{
		"TLS":                    {0x16, 3, 1, 0, 5, 1, 0, 0},
		"no end":                 {0x30, 0x80, 2, 1, 1, 0x64, 0},
		"a length of 5 bytes":    {0x30, 0x85, 0, 0, 0, 0, 7, 2, 1, 1},
		"nothing in it":          {0x30, 0},
		"no number":              {0x30, 5, 4, 1, 1, 0x64, 0},
		"a number of 5 bytes":    {0x30, 9, 2, 5, 1, 1, 1, 1, 1, 0x64, 0},
		"a number up to its end": {0x30, 5, 2, 3, 1, 1, 1, 0x64, 0},
	} {
		_, missing := headOf(b)
		require.Negative(t, missing, name)
	}
}

// BenchmarkEntry decodes the entry of one person, with the library and without.
func BenchmarkEntry(b *testing.B) {
	one := func(name, value string) ldap.EntryAttribute {
		return ldap.EntryAttribute{Name: name, Values: []string{value}}
	}
	message := wireEntry(7, "uid=ada.lovelace,ou=people,dc=example,dc=test", one("uid", "ada.lovelace"), one("mail", "ada.lovelace@example.test"),
		one("givenName", "Ada"), one("sn", "Lovelace"), one("entryUUID", "00000007-0000-4000-8000-000000000007"), one("employeeType", "staff"))
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := ber.ReadPacket(bytes.NewReader(message)) // before it makes an entry of that
			require.NoError(b, err)
		}
	})
	b.Run("here", func(b *testing.B) {
		b.ReportAllocs()
		k := newCatcher(nil)
		for b.Loop() {
			_, ok := k.entry(message)
			require.True(b, ok)
		}
	})
}
