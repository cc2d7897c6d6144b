package sources

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // a picture may be one
	_ "image/jpeg" // a picture may be one
	_ "image/png"  // a picture may be one
	"io"
	"io/fs"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/mmsync/mmsync/internal/identity"
)

// PictureRule says where a source has the pictures of people. What its attribute holds
// may be the picture itself, as directories keep it; the picture as base64 or in a data:
// URI, as SCIM has it; its address; or the path of a file.
type PictureRule struct {
	// Attribute is one attribute and nothing else, as in attr.thumbnailPhoto; empty means
	// that the source does not speak about pictures.
	Attribute Expr
	// MaxSize is the most bytes that a picture may have.
	MaxSize int64
	// Files holds the pictures that are named by their path; nil means that no path is
	// followed.
	Files fs.FS
	// Fetch gets a picture by its address; nil means that addresses are passed over.
	Fetch func(ctx context.Context, address string) ([]byte, error)
}

// maxPixels is what Mattermost took at most for long (24 megapixels).
const maxPixels = 6048 * 4032

type picture struct {
	PictureRule
	name string // of the attribute
}

func (c *compiler) picture(r PictureRule) {
	p := c.add("picture.attribute", r.Attribute, cel.StringType)
	if p == nil {
		return
	}
	text := strings.TrimSpace(r.Attribute.Source)
	plain := len(p.names) == 1 && slices.ContainsFunc([]string{rootAttr, rootRow}, func(root string) bool {
		n := p.names[0]
		return text == root+"."+n || text == root+".`"+n+"`" || text == root+`["`+n+`"]` || text == root+"['"+n+"']"
	})
	if !plain {
		c.fault("picture.attribute", r.Attribute, "is more than an attribute, and a picture is taken as it is", "name the attribute that holds it, as in attr.thumbnailPhoto")
		return
	}
	c.pictures = &picture{PictureRule: r, name: p.names[0]}
}

// HasPictures tells whether the source gives pictures.
func (m *Mapper) HasPictures() bool { return m.pictures != nil }

// PictureName gives a Record that has nothing but what stands for the picture; false if
// there is nothing.
func (m *Mapper) PictureName(rec Record) (Record, bool) {
	if m.pictures == nil || rec.Value(m.pictures.name) == "" {
		return Record{}, false
	}
	var out Record
	out.Add(m.pictures.name, rec.Value(m.pictures.name))
	return out, true
}

// pictureOf tells which picture a Record has, without keeping it.
func (m *Mapper) pictureOf(rec *Record) identity.Picture {
	if m.pictures == nil {
		return identity.Picture{}
	}
	data, address, err := m.pictures.read(rec.Value(m.pictures.name))
	if err == nil && address == "" && len(data) > 0 {
		err = checkPicture(data)
	}
	switch {
	case err != nil:
		return identity.Picture{Fault: "picture: " + err.Error()}
	case address != "":
		return identity.Picture{Hash: pictureHash([]byte("address " + address))}
	case len(data) == 0:
		return identity.Picture{}
	}
	return identity.Picture{Hash: pictureHash(data)}
}

// Picture gives the picture of a Record with its digest, and fetches it if the Record
// has an address. An error is one sentence.
func (m *Mapper) Picture(ctx context.Context, rec Record) ([]byte, string, error) {
	if m.pictures == nil {
		return nil, "", errors.New("the source gives no pictures")
	}
	data, address, err := m.pictures.read(rec.Value(m.pictures.name))
	hash := pictureHash(data)
	if err == nil && address != "" {
		hash = pictureHash([]byte("address " + address))
		data, err = m.pictures.Fetch(ctx, address)
		if err == nil && int64(len(data)) > m.pictures.MaxSize {
			err = m.pictures.tooLarge(int64(len(data)))
		}
	}
	switch {
	case err != nil:
		return nil, "", err
	case len(data) == 0:
		return nil, "", errors.New("there is no picture any more")
	}
	return data, hash, checkPicture(data)
}

// pictureHash is short, for people see it in files; only a person's own pictures are
// compared by it.
func pictureHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// read gives what an attribute's value stands for: a picture or its address. Neither
// means that there is none.
func (p *picture) read(value string) (data []byte, address string, err error) {
	switch {
	case value == "":
		return nil, "", nil
	case strings.HasPrefix(value, "http://"), strings.HasPrefix(value, "https://"):
		if p.Fetch == nil {
			return nil, "", nil
		}
		return nil, value, nil
	case strings.HasPrefix(value, "data:"):
		head, body, ok := strings.Cut(value, ",")
		if !ok || !strings.HasSuffix(head, ";base64") {
			return nil, "", errors.New("the data: URI is not base64; write data:image/png;base64 and the picture behind a comma")
		}
		data, err = p.decode(body)
		return data, "", err
	case looksLikePicture(value):
		if n := int64(len(value)); n > p.MaxSize {
			return nil, "", p.tooLarge(n)
		}
		return []byte(value), "", nil
	case p.Files != nil:
		data, err = p.file(value)
		return data, "", err
	}
	data, err = p.decode(value)
	return data, "", err
}

func looksLikePicture(value string) bool {
	for _, magic := range []string{"\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "GIF87a", "GIF89a"} {
		if strings.HasPrefix(value, magic) {
			return true
		}
	}
	return false
}

// decode reads base64, in lines or not.
func (p *picture) decode(text string) ([]byte, error) {
	if n := int64(base64.StdEncoding.DecodedLen(len(text))); n > p.MaxSize+3 {
		return nil, p.tooLarge(n)
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, errNotPicture
	}
	if n := int64(len(data)); n > p.MaxSize {
		return nil, p.tooLarge(n)
	}
	return data, nil
}

// file reads a picture that is named by its path, below the directory of the feed alone.
func (p *picture) file(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%s is not a path below the directory of the feed", Printable(name))
	}
	f, err := p.Files.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read in the directory of the feed", Printable(name))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil || !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", Printable(name))
	case info.Size() > p.MaxSize:
		return nil, p.tooLarge(info.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, p.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read to its end", Printable(name))
	}
	if n := int64(len(data)); n > p.MaxSize {
		return nil, p.tooLarge(n)
	}
	return data, nil
}

func (p *picture) tooLarge(n int64) error {
	return fmt.Errorf("it has %d bytes, and picture.max_size allows %d", n, p.MaxSize)
}

var errNotPicture = errors.New("it is not a JPEG, PNG or GIF")

// checkPicture looks at no more than the head of a picture: the server decodes it all.
func checkPicture(data []byte) error {
	shape, _, err := image.DecodeConfig(bytes.NewReader(data))
	switch {
	case err != nil:
		return errNotPicture
	case shape.Width <= 0 || shape.Height <= 0:
		return errors.New("it has no pixels")
	case shape.Width > maxPixels/shape.Height:
		return fmt.Errorf("it has %d x %d pixels, and Mattermost takes %d in all", shape.Width, shape.Height, maxPixels)
	}
	return nil
}
