package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// maxDays keeps sums of durations far from overflow.
const maxDays = 36500

// ParseDuration reads a duration as the configuration and the command line have it:
// Go's syntax with d for 24 hours in front, 45s, 72h, 30d, 1d12h, from 0 to 36500d. The
// error is a hint on what to write.
func ParseDuration(s string) (time.Duration, error) {
	const form = "write a number and a unit, such as 45s, 10m, 72h or 30d"
	var sum time.Duration
	rest := s
	if n, after, ok := strings.Cut(s, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 32)
		switch {
		case err != nil:
			return 0, errors.New(form)
		case days > maxDays:
			return 0, errors.New("the longest is 36500d")
		}
		sum, rest = time.Duration(days)*day, after
		if rest == "" {
			return sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	switch {
	case err != nil:
		if _, numErr := strconv.Atoi(rest); numErr == nil {
			return 0, errors.New("the unit is missing: " + form)
		}
		return 0, errors.New(form)
	case d < 0:
		return 0, errors.New("it cannot be negative")
	case d > maxDays*day:
		return 0, errors.New("the longest is 36500d")
	}
	return sum + d, nil
}

// formatDuration writes what ParseDuration reads, without empty parts.
func formatDuration(d time.Duration) string {
	if d >= 7*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
