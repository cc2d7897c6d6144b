// Package archive writes a backup of a store as one file and reads it back: lines of
// JSON, a sum over them, compressed, and encrypted if somebody is named who may read it.
//
// It knows neither databases nor what the rows mean; the stores write and read those.
//
//	{"format":"mmsync state backup","format_version":"1.0","schema":4,…,"tables":[…]}
//	["reconcile","",7,"2026-03-04T05:06:07.123456Z"]     one line a row, table by table
//	…
//	{"end":true,"rows":1234,"sha256":"…"}                over all bytes before this line
package archive

import (
	"errors"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

const (
	format  = "mmsync state backup"
	version = "1.0"
	// lineBytes limits one line. The longest values are those of SCIM resources, which
	// are far below.
	lineBytes = 256 << 20
)

// head is the first line.
type head struct {
	Format   string              `json:"format"`
	Version  string              `json:"format_version"`
	Schema   int64               `json:"schema"`
	MadeAt   time.Time           `json:"made_at"`
	Program  string              `json:"program"`
	Revision int64               `json:"revision"`
	Tables   []state.BackupTable `json:"tables"`
}

// end is the last line.
type end struct {
	End    bool   `json:"end"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// Errors of files that cannot be restored. They are wrapped with what is to be done.
var (
	// ErrDamaged: the file is not as it was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrForeign: it is no backup, or one of a later version.
	ErrForeign = errors.New("the backup cannot be read")
	// ErrSealed: it is encrypted, and not for any identity that was given.
	ErrSealed = errors.New("the backup is encrypted")
)
