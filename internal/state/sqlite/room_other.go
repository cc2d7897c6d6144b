//go:build !darwin && !freebsd && !linux

package sqlite

import "os"

// freeRoom knows nothing of the room here.
func freeRoom(path string) (free int64, known bool, err error) {
	_, err = os.Stat(path)
	return 0, false, err
}
