package mmsim_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// difference is a line that is accepted to differ.
type difference struct {
	name   string
	chance bool // random ids may let it match in one run and not in the next
}

// known reads a list of differences that are accepted, each with its reason.
func known(t *testing.T, file string) map[int]difference {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	out := map[int]difference{}
	for text := range strings.Lines(string(raw)) {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		words := strings.SplitN(text, " ", 3)
		require.Len(t, words, 3, "a difference needs a reason: %s", text)
		number, chance := strings.CutSuffix(words[0], "?")
		n, err := strconv.Atoi(number)
		require.NoError(t, err, text)
		out[n] = difference{name: words[1], chance: chance}
	}
	return out
}

// leastMatch is the share, in percent, of all exchanges of a recording, those
// after restarts included, that has to be answered as recorded: same status,
// same error id, same keys, same values except those a server makes up.
const leastMatch = 97

// contracts are the recordings, each with the list of what may differ.
func contracts() []contract {
	return []contract{
		{version: "11.6", profile: mmsim.Profile116, differences: "differences.txt"},
		{version: "5.38", profile: mmsim.Profile538, differences: "differences-5.38.txt"},
	}
}

type contract struct {
	version     string
	profile     mmsim.Profile
	differences string
}

// TestContract replays every recording from a fresh server on and, with -v,
// prints what matched by group of exchanges.
func TestContract(t *testing.T) {
	t.Parallel()
	figures := map[string]map[string]tally{}
	t.Run("replay", func(t *testing.T) { // ends when those in it have ended
		for _, c := range contracts() {
			groups := map[string]tally{}
			figures[c.version] = groups
			t.Run(c.version, func(t *testing.T) {
				t.Parallel()
				lines := readRecording(t, c.version)
				replay(t, recordedOptions(c.profile, lines), lines, c.differences, groups)
				all := groups[""]
				require.GreaterOrEqual(t, all.matched*100, all.total*leastMatch, "matched %d of %d", all.matched, all.total)
			})
		}
	})
	t.Log("\n" + table(figures))
}

// recordedOptions are the recorded server's admin, seats and environment; the
// ids are the same in each run, so that a failure is.
func recordedOptions(profile mmsim.Profile, lines []line) mmsim.Options {
	return mmsim.Options{
		Profile: profile, AdminUsername: "mmadmin", AdminPassword: "Sync-Adm1n-Passw0rd", SeatLimit: 250,
		Settings: recordedEnvironment(lines), Seed: 1,
	}
}

type tally struct{ matched, total int }

func (c tally) String() string {
	if c.total == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", c.matched, c.total)
}

// replay holds a server to a recording: each line matches or is on the list of
// differences, and each line on the list still differs. It counts by group, and
// everything under "".
func replay(t *testing.T, opts mmsim.Options, lines []line, differences string, groups map[string]tally) {
	t.Helper()
	st := newStory(t, opts)
	accepted := known(t, differences)
	for _, l := range lines {
		diffs := st.play(l)
		if l.Event != "" {
			continue
		}
		entry, listed := accepted[l.N]
		delete(accepted, l.N)
		if entry.chance && len(diffs) == 0 {
			diffs = []string{"matched by chance"}
		}
		group, _, _ := strings.Cut(l.Case, ".")
		count(groups, group, len(diffs) == 0)
		count(groups, "", len(diffs) == 0)
		switch {
		case listed && entry.name != l.Case:
			t.Errorf("%s: %d is %s, not %s", differences, l.N, l.Case, entry.name)
		case listed && len(diffs) == 0:
			t.Errorf("%d %s matches now: take it off %s", l.N, l.Case, differences)
		case listed:
			t.Logf("known: %d %s: %.200s", l.N, l.Case, diffs[0])
		case len(diffs) > 0:
			t.Errorf("%d %s %s %s as %s:\n\t%s", l.N, l.Case, l.Method, l.Path, l.As,
				strings.Join(diffs[:min(len(diffs), 8)], "\n\t"))
		}
	}
	require.Empty(t, accepted, "%s names lines that are not in the recording", differences)
}

func count(into map[string]tally, key string, matched bool) {
	c := into[key]
	c.total++
	if matched {
		c.matched++
	}
	into[key] = c
}

// table shows matched/total by group and recording, as it can be quoted.
func table(figures map[string]map[string]tally) string {
	groups := map[string]bool{}
	for _, of := range figures {
		for group := range of {
			groups[group] = true
		}
	}
	delete(groups, "")
	var b strings.Builder
	row := func(name string, cell func(contract) string) {
		fmt.Fprintf(&b, "%-22s", name)
		for _, c := range contracts() {
			fmt.Fprintf(&b, " %12s", cell(c))
		}
		b.WriteByte('\n')
	}
	row("group", func(c contract) string { return c.version })
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		row(group, func(c contract) string { return figures[c.version][group].String() })
	}
	row("all", func(c contract) string { return figures[c.version][""].String() })
	row("", func(c contract) string {
		all := figures[c.version][""]
		return fmt.Sprintf("%.1f %%", 100*float64(all.matched)/float64(max(all.total, 1)))
	})
	return b.String()
}
