package sqlite

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// advice is what to do about a file that is there and cannot be used; "" if the error's
// own text has to do.
func (s *Store) advice(err error) string {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return ""
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return "the disk that holds " + s.path + " is full; make room, what was written before is safe"
	case sqlite3.SQLITE_READONLY:
		return s.path + " cannot be written: see the rights of the file and of its folder, and whether the disk is mounted read-only"
	case sqlite3.SQLITE_IOERR:
		return "the disk that holds " + s.path + " does not read or write as it should; look at the system's log, and whether it is full"
	case sqlite3.SQLITE_NOTADB:
		return s.path + " is no SQLite database; see that state.url names the right file"
	case sqlite3.SQLITE_CORRUPT:
		return s.path + " is damaged; put back its last backup, then see mmsync state accept-restore"
	}
	return ""
}
