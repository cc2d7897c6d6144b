package config

import (
	"errors"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size int64

const maxSize = 1 << 40

// units are those of parseSize, the largest first.
func units() []struct {
	name  string
	bytes Size
} {
	return []struct {
		name  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

// String writes what parseSize reads: 4MiB, 800KiB, 1000.
func (s Size) String() string {
	for _, u := range units() {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseSize reads bytes, KiB, MiB or GiB. The error is a hint on what to write.
func parseSize(text string) (Size, error) {
	number, factor := text, Size(1)
	for _, u := range units() {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, factor = strings.TrimSpace(n), u.bytes
		}
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || Size(n) > maxSize/factor {
		return 0, errors.New("write bytes, or a number with KiB, MiB or GiB, such as 4MiB")
	}
	return Size(n) * factor, nil
}
