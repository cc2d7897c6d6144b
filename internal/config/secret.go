package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const masked = "<secret>"

// Secret is a value that never prints: every way of formatting or encoding it
// gives <secret>. The value itself sits behind a function, so that not even a
// printer that walks unexported fields can reach it.
type Secret struct {
	read func() (string, error)
	file string
}

// SecretFile is a file a secret is read from.
type SecretFile struct {
	Path string // where the configuration names it: mattermost.token_file
	File string
}

// NewSecret makes a Secret of a value that is known already.
func NewSecret(value string) Secret {
	return Secret{read: func() (string, error) { return value, nil }}
}

func fileSecret(file string, readFile func(string) ([]byte, error)) Secret {
	return Secret{file: file, read: func() (string, error) {
		data, err := readFile(file)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		data = bytes.TrimSuffix(data, []byte("\n"))
		data = bytes.TrimSuffix(data, []byte("\r"))
		value := string(data)
		if err := checkSecret(value); err != nil {
			return "", fmt.Errorf("read secret: %s %w", file, err)
		}
		return value, nil
	}}
}

// checkSecret refuses what cannot be a token, password or URL. The error
// continues a sentence whose subject is where the value came from.
func checkSecret(value string) error {
	switch {
	case value == "":
		return errors.New("is empty")
	case strings.ContainsAny(value, "\r\n"):
		return errors.New("holds more than one line")
	case strings.IndexFunc(value, isControl) >= 0:
		return errors.New("holds a control character")
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// Value gives the secret. One that lives in a file is read anew each time, so
// that a rotated file counts; one trailing newline is not part of it. An unset
// Secret, an unreadable or empty file and one of several lines are errors.
func (s Secret) Value() (string, error) {
	if s.read == nil {
		return "", errors.New("secret is not set")
	}
	return s.read()
}

// IsSet tells whether the configuration gives the secret.
func (s Secret) IsSet() bool { return s.read != nil }

// File is the file the secret is read from, "" if it is none.
func (s Secret) File() string { return s.file }

// String gives <secret>.
func (Secret) String() string { return masked }

// GoString gives <secret>.
func (Secret) GoString() string { return masked }

// Format writes <secret> for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// LogValue gives <secret>.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalJSON gives "<secret>".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }

// MarshalYAML gives <secret>.
func (Secret) MarshalYAML() (any, error) { return masked, nil }

// MarshalText gives <secret>.
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }
