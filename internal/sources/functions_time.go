package sources

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// What directories write of times and switches: when somebody's account ends,
// begins or was locked.

// fileTimeEpoch is 1601-01-01 in seconds before 1970; a FILETIME counts 100 ns.
const fileTimeEpoch = 11644473600

// fileTimePast tells whether a FILETIME such as accountExpires has passed. 0,
// the largest number and an absent value mean never.
func fileTimePast(s string, now time.Time) (bool, error) {
	if s == "" || s == "0" || s == "9223372036854775807" {
		return false, nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < 0 {
		return false, errors.New("fileTimePast needs a decimal number of 100 ns since 1601")
	}
	return time.Unix(v/1e7-fileTimeEpoch, v%1e7*100).Before(now), nil
}

// timePast tells whether a generalized time (RFC 4517 3.3.13, as in pwdEndTime
// or krbPrincipalExpiration), an RFC 3339 time or a plain date has passed; an
// absent value never has. A plain date passes when its day is over, in UTC.
func timePast(s string, now time.Time) (bool, error) {
	if s == "" {
		return false, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1).Before(now), nil
	}
	t, ok := instant(s)
	if !ok {
		return false, errors.New("timePast needs a generalized time, an RFC 3339 time or a date such as 2026-01-31")
	}
	return t.Before(now), nil
}

// timeAhead tells whether such a time is still to come, as of pwdStartTime; an
// absent value never is. A plain date has come when its day begins, in UTC.
func timeAhead(s string, now time.Time) (bool, error) {
	if s == "" {
		return false, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err == nil {
		return t.After(now), nil
	}
	t, ok := instant(s)
	if !ok {
		return false, errors.New("timeAhead needs a generalized time, an RFC 3339 time or a date such as 2026-01-31")
	}
	return t.After(now), nil
}

// instant reads a generalized time, with or without a fraction, or one of RFC 3339.
func instant(s string) (time.Time, bool) {
	for _, layout := range []string{"20060102150405Z0700", "200601021504Z0700", "2006010215Z0700", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// daysPast tells whether a day counted from 1970-01-01, as in shadowExpire, has
// begun, in UTC (shadow(5): the account is over from that day on). An absent value
// and -1 mean never. 0 means never to some programs and long ago to others, so that
// it is no answer.
func daysPast(s string, now time.Time) (bool, error) {
	if s == "" || s == "-1" {
		return false, nil
	}
	v, err := strconv.ParseInt(s, 10, 32)
	switch {
	case err != nil || v < 0:
		return false, errors.New("daysPast needs a number of days since 1970-01-01")
	case v == 0:
		return false, errors.New("daysPast was given 0, which may mean never or in 1970; write -1 for never, or a day")
	}
	return !now.Before(time.Unix(v*86400, 0)), nil
}

// lockedForGood tells the lock of an administrator in OpenLDAP's
// pwdAccountLockedTime, which is the year 0 (slapo-ppolicy(5)). Any other time there
// is that of too many wrong passwords, which passes by itself.
func lockedForGood(s string) (bool, error) {
	switch s {
	case "":
		return false, nil
	case "000001010000Z", "00000101000000Z":
		return true, nil
	}
	if _, ok := instant(s); !ok {
		return false, errors.New("lockedForGood needs a pwdAccountLockedTime")
	}
	return false, nil
}

// isTrue reads a switch such as nsAccountLock, which servers spell in both cases; an
// absent value is off.
func isTrue(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, nil
	case "", "false", "no", "off", "0":
		return false, nil
	}
	return false, errors.New("isTrue needs TRUE or FALSE")
}
