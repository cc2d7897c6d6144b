//go:build darwin || freebsd || linux

package sqlite

import "syscall"

// freeRoom tells how many bytes can be written beside a file; known is false where the
// file system does not say.
func freeRoom(path string) (free int64, known bool, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return 0, false, err
	}
	return int64(fs.Bavail) * int64(fs.Bsize), fs.Blocks > 0, nil //nolint:gosec,unconvert // the types differ between systems
}
