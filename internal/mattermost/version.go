package mattermost

import (
	"fmt"
	"strconv"
	"strings"
)

// The oldest release mmsync works with has roles as a filter of the listing;
// the newest is the newest one whose answers were recorded.
const (
	oldestMajor, oldestMinor = 5, 26
	newestMajor, newestMinor = 11, 6
)

// Version is a Mattermost release.
type Version struct {
	Major, Minor, Patch int
	Licensed            bool
}

// String gives "11.6.0".
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// told is what people are shown.
func (v Version) told() string {
	if v.IsZero() {
		return "unknown"
	}
	return v.String()
}

// IsZero tells that the version is not known.
func (v Version) IsZero() bool { return v.Major == 0 && v.Minor == 0 && v.Patch == 0 }

// AtLeast compares releases.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

func (v Version) tooOld() bool { return !v.IsZero() && !v.AtLeast(oldestMajor, oldestMinor) }

// untried tells a release that nobody has held mmsync to: one newer than the
// newest recorded, or an unknown one.
func (v Version) untried() bool { return v.IsZero() || v.AtLeast(newestMajor, newestMinor+1) }

// parseVersionID reads X-Version-Id: version, build number, hash of the client
// configuration, licensed or not. The build number can hold dots or nothing.
func parseVersionID(s string) Version {
	parts := strings.Split(s, ".")
	if len(parts) < 4 {
		return Version{}
	}
	v := Version{Licensed: parts[len(parts)-1] == "true"}
	for i, into := range []*int{&v.Major, &v.Minor, &v.Patch} {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 {
			return Version{}
		}
		*into = n
	}
	return v
}

// Version is the server's version as its last answer told it, or, if that was
// not readable, as config/client did; zero while neither has. It can change
// while a cluster is being upgraded.
func (c *Client) Version() Version {
	if v := c.headerVersion(); !v.IsZero() {
		return v
	}
	if v := c.configVersion.Load(); v != nil {
		return *v
	}
	return Version{}
}

func (c *Client) headerVersion() Version {
	if id := c.versionID.Load(); id != nil {
		return parseVersionID(*id)
	}
	return Version{}
}

// Version is the server's release as its last answer told it, in the words of
// plan.Facts: "11.6.0", or "unknown".
func (t *Target) Version() string { return t.c.Version().told() }

// VersionError tells that the server is older than any mmsync works with.
type VersionError struct{ Version Version }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the server is Mattermost %s, older than the oldest one mmsync works with (%d.%d); upgrade the server",
		e.Version, oldestMajor, oldestMinor)
}

// Refused is always true.
func (e *VersionError) Refused() bool { return true }

const firstCalls = "the first call of each kind is read back, and a kind that does not do what it should is stopped"

// Announce is one sentence about a server whose version mmsync was not held to,
// or that does not tell it properly; "" if there is nothing to say, and before
// the version has been asked for, which [Target.Facts] and [Target.Check] do.
func (t *Target) Announce() string {
	v, header := t.c.Version(), t.c.headerVersion()
	switch {
	case t.c.configVersion.Load() == nil && header.IsZero():
		return ""
	case v.IsZero():
		return "the server tells its version neither in X-Version-Id nor in config/client, so that mmsync assumes the least: " + firstCalls
	case v.untried():
		return fmt.Sprintf("the server is %d.%d, newer than the newest one mmsync was held to (%d.%d): %s",
			v.Major, v.Minor, newestMajor, newestMinor, firstCalls)
	case header.IsZero():
		return fmt.Sprintf("the server's X-Version-Id is missing or cannot be read, so that its version is taken from config/client (%s); "+
			"does a proxy remove or change the header?", v)
	}
	return ""
}
