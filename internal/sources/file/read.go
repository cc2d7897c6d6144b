package file

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/mmsync/mmsync/internal/sources"
)

// maxLine bounds one line, row or LDIF value, in bytes.
const maxLine = 4 << 20

// read is one pass over the file.
type read struct {
	ctx    context.Context //nolint:containedctx // lives as long as one pass
	o      Options
	name   string // for messages
	in     *bufio.Reader
	add    func(sources.Record)
	bad    func(ref, message string)
	count  int
	names  map[string]string // attribute names seen, by their folded form
	header []string          // CSV: all names there are; nil where none are declared
	doubts []string
	canary bool // seen, or none asked for
}

// read runs one pass; what makes the file unfit to prove an absence is left in
// the doubts of the result.
func (s *Source) read(ctx context.Context, add func(sources.Record), bad func(ref, message string)) (*read, error) {
	f, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	if before.IsDir() {
		return nil, fmt.Errorf("source %s: %s is a directory; name the file in it", s.o.Name, sources.Printable(s.o.Path))
	}
	counted := &counter{r: f}
	r := &read{
		ctx: ctx, o: s.o, name: sources.Printable(s.o.Path), in: bufio.NewReaderSize(counted, 64<<10),
		bad: bad, names: map[string]string{}, canary: s.o.Canary == "",
	}
	r.add = func(rec sources.Record) {
		r.canary = r.canary || s.matches(rec, s.o.Canary) > 0
		add(rec)
	}
	if bom, _ := r.in.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = r.in.Discard(3) // what was peeked can be discarded
	}
	if err := s.reader(r); err != nil {
		return nil, fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	after, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("source %s: %w", s.o.Name, err)
	case before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()) || counted.n > after.Size():
		r.doubt("%s changed while it was read; write it under another name and rename it into place", r.name)
	case before.Size() == 0:
		r.doubt("%s is empty; check what writes it", r.name)
	case !r.canary:
		r.doubt("%s, who must be in %s, is not; check what writes the file or change canary", sources.Printable(s.o.Canary), r.name)
	}
	return r, nil
}

func (s *Source) open() (fs.File, error) {
	if s.o.FS != nil {
		return s.o.FS.Open(s.o.Path)
	}
	return os.Open(s.o.Path)
}

func (r *read) doubt(format string, args ...any) {
	r.doubts = append(r.doubts, fmt.Sprintf(format, args...))
}

// at gives the place of a line.
func (r *read) at(line int) string { return fmt.Sprintf("%s:%d", r.name, line) }

// spoil notes an entry that could not be read, and doubts the whole.
func (r *read) spoil(ref string, line int, message string) {
	r.bad(ref, message)
	if ref == r.at(line) {
		r.doubt("%s: %s", ref, message)
	} else {
		r.doubt("%s (%s): %s", r.at(line), sources.Printable(ref), message)
	}
}

func (r *read) saw(name string) {
	if folded := strings.ToLower(name); r.names[folded] == "" {
		r.names[folded] = name
	}
}

// step is called once per entry and gives the reason to stop.
func (r *read) step() error {
	if r.count++; r.count%256 == 0 {
		return r.ctx.Err()
	}
	return nil
}

// line gives the next line without its end; whole is false for a last line
// that has none.
func (r *read) line() (text string, whole bool, err error) {
	var long []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if err == bufio.ErrBufferFull { //nolint:errorlint // ReadSlice returns it bare
			if long = append(long, part...); len(long) > maxLine {
				return "", false, fmt.Errorf("a line is longer than %d MiB", maxLine>>20)
			}
			continue
		}
		if err != nil && err != io.EOF {
			return "", false, err
		}
		if err == io.EOF && len(long)+len(part) == 0 {
			return "", false, io.EOF
		}
		long = append(long, part...)
		text, whole = strings.CutSuffix(string(long), "\n")
		return strings.TrimSuffix(text, "\r"), whole, nil
	}
}

// counter counts what was read, to tell a file that grew meanwhile.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
