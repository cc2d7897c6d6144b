package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
)

// Loader holds what reading a configuration takes from outside. The zero
// Loader knows no variables and reads the real file system.
type Loader struct {
	// Env looks up the variables that ${NAME} may name; nil means none is set.
	Env func(name string) (string, bool)
	// ReadFile reads the configuration, secret and CA files; nil means
	// os.ReadFile. Secrets keep it and call it whenever they are used.
	ReadFile func(name string) ([]byte, error)
}

// Load reads and validates the file at path. Relative paths inside it are
// relative to its directory, and stand so resolved in the Config.
// The error joins one *Error for every fault; see Errors and Render.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	return Loader{Env: env}.Load(path)
}

// Parse is Load for data that is in memory; name stands for the path.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	return Loader{Env: env}.Parse(name, data)
}

// Load is like the function Load.
func (l Loader) Load(path string) (*Config, error) {
	data, err := l.readFile(path)
	if err != nil {
		return nil, &Error{File: path, Msg: "cannot be read: " + reason(err), Hint: unreadableHint(err), cause: err}
	}
	return l.Parse(path, data)
}

// Parse is like the function Parse.
func (l Loader) Parse(name string, data []byte) (*Config, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	doc := newDocument(name, data)
	root := doc.parse(data)
	if root == nil {
		return nil, doc.finish()
	}
	c := defaultConfig()
	c.File, c.doc = name, doc
	d := &decoder{doc: doc, loader: l, dir: filepath.Dir(name)}
	doc.marks[""] = mark{line: root.Line, col: root.Column}
	d.section(root, "", reflect.ValueOf(c).Elem())
	c.secretFiles = d.secretFiles
	v := validator{config: c, doc: doc, loader: l}
	v.run()
	slices.SortStableFunc(c.secretFiles, func(a, b SecretFile) int {
		return cmp.Compare(doc.marks[a.Path].line, doc.marks[b.Path].line)
	})
	if err := doc.finish(); err != nil {
		return nil, err
	}
	doc.bad = nil
	return c, nil
}

func (l Loader) readFile(name string) ([]byte, error) {
	if l.ReadFile == nil {
		return os.ReadFile(name)
	}
	return l.ReadFile(name)
}

func (l Loader) lookup(name string) (string, bool) {
	if l.Env == nil {
		return "", false
	}
	return l.Env(name)
}

// unreadableHint says what to do about a file that cannot be read: of one that is there,
// or in a folder that is closed, the wrong user asks. "" for all else.
func unreadableHint(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "run mmsync as the user who owns it, such as sudo -u mmsync mmsync …"
	}
	return ""
}

// reason gives the words of the operating system without the operation and the
// path, which the message around it names.
func reason(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return fmt.Sprint(err)
}
