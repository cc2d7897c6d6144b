package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// roomNeeded is how little room on the disk counts as none, in bytes: what is written
	// at first goes into room that the log of writes has already.
	roomNeeded = 4 << 20
	// writerFree is how long Writable waits for whoever writes.
	writerFree = 500 * time.Millisecond
)

// writeNothing writes the page that holds a number of which mmsync makes no use, as it
// was, and has it flushed like any other write.
const writeNothing = "pragma user_version = 0"

// Writable fails if nothing can be written, or soon nothing could: the disk is full, or
// only reads. It writes one page. While somebody else writes it is that one's to fail.
func (s *Store) Writable(ctx context.Context) error {
	const what = "see whether it can be written"
	switch free, known, err := freeRoom(s.path); {
	case err != nil:
		return fmt.Errorf("%s: look for %s: %w", what, s.path, err)
	case known && free < roomNeeded:
		return fmt.Errorf("%s: the disk that holds %s is full: %d KiB are left; make room, what was written before is safe", what, s.path, free>>10)
	}
	waiting, cancel := context.WithTimeout(ctx, writerFree)
	defer cancel()
	conn, err := s.writer.Conn(waiting)
	if err != nil {
		if errors.Is(waiting.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
			return nil
		}
		return s.fault(what, err)
	}
	defer conn.Close() // it goes back to the pool
	var patience int64
	if err := conn.QueryRowContext(ctx, "pragma busy_timeout").Scan(&patience); err != nil {
		return s.fault(what, err)
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("pragma busy_timeout = %d", writerFree.Milliseconds())); err != nil {
		return s.fault(what, err)
	}
	_, err = conn.ExecContext(ctx, writeNothing)
	var se *sqlite.Error
	if errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_BUSY {
		err = nil
	}
	// Whatever becomes of ctx: the next write on this connection has its old patience.
	_, again := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("pragma busy_timeout = %d", patience))
	if err = errors.Join(err, again); err != nil {
		return s.fault(what, err)
	}
	return nil
}
