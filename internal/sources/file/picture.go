package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/sources"
)

// Beside opens the directory that a file is in, for the pictures that the file names: of
// nothing outside of it, whatever a path or a link in it says. The directory is opened
// anew for each picture, for it may be replaced as a whole.
func Beside(path string) fs.FS { return beside(filepath.Dir(path)) }

type beside string

func (b beside) Open(name string) (fs.File, error) {
	root, err := os.OpenRoot(string(b))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(filepath.FromSlash(name))
}

// shortest is up to where a value is kept to find a picture again without reading the
// whole file: a path or an address, and not a picture.
const shortest = 1024

// named remembers what stands for the picture of each person in the file as it was at one
// time. It holds no pictures.
type named struct {
	mu     sync.Mutex
	size   int64
	mod    time.Time
	people map[string]sources.Record
}

// Picture gives a person's picture as the file has it, or names it, now, with its digest.
func (s *Source) Picture(ctx context.Context, anchor string) ([]byte, string, error) {
	rec, err := s.pictured(ctx, anchor)
	if err != nil {
		return nil, "", err
	}
	return s.o.Mapper.Picture(ctx, rec)
}

func (s *Source) pictured(ctx context.Context, anchor string) (sources.Record, error) {
	n := &s.named
	n.mu.Lock()
	defer n.mu.Unlock()
	f, err := s.open()
	if err != nil {
		return sources.Record{}, fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return sources.Record{}, fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	if n.people == nil || n.size != info.Size() || !n.mod.Equal(info.ModTime()) {
		if err := s.name(ctx, n); err != nil {
			return sources.Record{}, err
		}
		n.size, n.mod = info.Size(), info.ModTime()
	}
	if rec, ok := n.people[anchor]; ok {
		return rec, nil
	}
	rec, found, err := s.Lookup(ctx, anchor)
	if err == nil && !found {
		err = errors.New("the person is not in the file any more")
	}
	return rec, err
}

// name notes for everybody what his picture is called.
func (s *Source) name(ctx context.Context, n *named) error {
	n.people = map[string]sources.Record{}
	_, err := s.read(ctx, func(rec sources.Record) {
		anchor, err := s.o.Mapper.Anchor(rec)
		if short, ok := s.o.Mapper.PictureName(rec); err == nil && ok && len(short.Value(short.Names()[0])) <= shortest {
			n.people[anchor] = short
		}
	}, func(string, string) {})
	if err != nil {
		n.people = nil
	}
	return err
}
