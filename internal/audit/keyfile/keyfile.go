// Package keyfile keeps the key that seals the history, and the end of the history,
// in two files outside of the database: FILE and FILE.head. Keys that sealed before
// are in FILE.1, FILE.2 and so on, the last one the newest.
//
// It makes no seals and judges none; nothing it returns or prints holds the key but
// Key itself.
package keyfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/audit"
)

// File is the key's file and the one beside it.
type File struct{ path string }

// New names the key's file. Nothing is opened.
func New(path string) *File { return &File{path: path} }

// Path is where the key is kept.
func (f *File) Path() string { return f.path }

func (f *File) head() string { return f.path + ".head" }

// ErrNoKey is wrapped when there is no key.
var ErrNoKey = errors.New("there is no key")

// Key reads the key; with create it makes one, that only its owner may read, if
// there is none.
func (f *File) Key(create bool) (audit.Key, error) {
	key, err := f.read(f.path)
	if err == nil {
		return f.withEarlier(key)
	}
	if !create || !errors.Is(err, fs.ErrNotExist) {
		if errors.Is(err, fs.ErrNotExist) {
			return key, fmt.Errorf("%w in %s: put back the file that sealed the history, or correct audit.key_file", ErrNoKey, f.path)
		}
		return key, err
	}
	return f.make(f.path)
}

// make makes a key, unless there is one.
func (f *File) make(path string) (audit.Key, error) {
	secret := make([]byte, audit.KeyBytes)
	_, _ = rand.Read(secret) // never fails, by its contract
	if err := f.place(path, secret, false); err != nil && !errors.Is(err, fs.ErrExist) {
		return audit.Key{}, fmt.Errorf("the key that seals the history cannot be made: %w: name a file in a directory that mmsync may write to as audit.key_file", err)
	}
	return f.read(path) // somebody else may have been faster
}

func (f *File) read(path string) (audit.Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return audit.Key{}, fmt.Errorf("read the key that seals the history: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return audit.Key{}, fmt.Errorf("read the key that seals the history: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return audit.Key{}, fmt.Errorf("everybody on this machine may read or write %s, the key that seals the history: chmod 0600 %s", path, path)
	}
	secret, err := io.ReadAll(io.LimitReader(file, audit.KeyBytes+1))
	if err != nil {
		return audit.Key{}, fmt.Errorf("read the key that seals the history: %w", err)
	}
	key, err := audit.NewKey(secret)
	if err != nil {
		return audit.Key{}, fmt.Errorf("%s is no key that seals the history: it must hold exactly %d bytes; correct audit.key_file", path, audit.KeyBytes)
	}
	return key, nil
}

// withEarlier adds the keys that sealed before.
func (f *File) withEarlier(key audit.Key) (audit.Key, error) {
	numbers, err := f.numbers()
	if err != nil {
		return audit.Key{}, err
	}
	chain := make([]audit.Key, 0, len(numbers))
	for _, n := range numbers {
		k, err := f.read(f.earlier(n))
		if err != nil {
			return audit.Key{}, err
		}
		if len(chain) > 0 {
			k = k.After(chain[len(chain)-1])
		}
		chain = append(chain, k)
	}
	if len(chain) > 0 {
		key = key.After(chain[len(chain)-1])
	}
	return key, nil
}

// numbers gives those of the files of earlier keys, the oldest first.
func (f *File) numbers() ([]int, error) {
	beside, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return nil, fmt.Errorf("look for earlier keys: %w", err)
	}
	var out []int
	for _, e := range beside {
		suffix, ours := strings.CutPrefix(e.Name(), filepath.Base(f.path)+".")
		if n, err := strconv.Atoi(suffix); ours && err == nil && n > 0 && strconv.Itoa(n) == suffix {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (f *File) earlier(n int) string { return f.path + "." + strconv.Itoa(n) }

func (f *File) next() string { return f.path + ".new" }

// Next gives the key that Switch will put in the place of this one, and makes it.
func (f *File) Next() (audit.Key, error) { return f.make(f.next()) }

// Switch puts what Next made in the place of the key, which is kept beside it. One
// that was cut off can be done again.
func (f *File) Switch() error {
	numbers, err := f.numbers()
	if err != nil {
		return err
	}
	n := 1
	if len(numbers) > 0 {
		n = numbers[len(numbers)-1] + 1
	}
	if err := os.Link(f.path, f.earlier(n)); err != nil {
		return fmt.Errorf("keep the earlier key: %w", err)
	}
	if err := os.Rename(f.next(), f.path); err != nil {
		return fmt.Errorf("put the new key in its place: %w", err)
	}
	return nil
}

// Head gives the end of the history as it was last noted; ok is false if it never
// was.
func (f *File) Head() (h audit.Head, ok bool, err error) {
	data, err := os.ReadFile(f.head())
	if errors.Is(err, fs.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, fmt.Errorf("read the head of the history: %w", err)
	}
	var seal string
	n, err := fmt.Sscanf(string(data), "%d %s\n", &h.Batch, &seal)
	if err == nil {
		err = h.Seal.UnmarshalText([]byte(seal))
	}
	if err != nil || n != 2 || h.Batch < 1 || strings.Count(string(data), "\n") != 1 {
		return audit.Head{}, false, fmt.Errorf("%s does not hold a batch and its seal: correct it by the last run's log line, or remove it", f.head())
	}
	return h, true, nil
}

// SetHead notes the end of the history; the zero Head takes the note away.
func (f *File) SetHead(h audit.Head) error {
	if h.Batch == 0 {
		if err := os.Remove(f.head()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("take the head of the history away: %w", err)
		}
		return nil
	}
	if err := f.place(f.head(), fmt.Appendf(nil, "%d %s\n", h.Batch, h.Seal), true); err != nil {
		return fmt.Errorf("note the head of the history: %w", err)
	}
	return nil
}

// place writes a file whole or not at all. Without replace it fails if there is one.
func (f *File) place(path string, data []byte, replace bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if replace {
		return os.Rename(tmp.Name(), path)
	}
	return os.Link(tmp.Name(), path)
}
