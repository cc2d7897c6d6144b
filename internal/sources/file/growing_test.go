package file_test

import (
	"io/fs"
	"os"
)

// growing is a file system whose file grows at its first read, as one does
// that somebody is still writing.
type growing struct {
	fs.FS
	path string
}

func (g growing) Open(name string) (fs.File, error) {
	f, err := g.FS.Open(name)
	return &growingFile{File: f, path: g.path}, err
}

type growingFile struct {
	fs.File
	path string
	done bool
}

func (g *growingFile) Read(p []byte) (int, error) {
	if !g.done {
		g.done = true
		f, err := os.OpenFile(g.path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return 0, err
		}
		if _, err := f.WriteString(`{"id":"2","uid":"b","mail":"b@t"}`); err != nil {
			return 0, err
		}
		if err := f.Close(); err != nil {
			return 0, err
		}
	}
	return g.File.Read(p)
}
