package admin_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each metric stands in the documentation, with its labels.
func TestDocs_metrics(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	documented := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(mmsync_[a-z_]+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		labels := regexp.MustCompile("[a-z]+").FindAllString(m[2], -1)
		slices.Sort(labels)
		documented[m[1]] = labels
	}
	families, err := filled(t).Gatherer().Gather()
	require.NoError(t, err)
	own := map[string][]string{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "mmsync_") {
			var labels []string
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels = append(labels, l.GetName())
			}
			slices.Sort(labels)
			own[f.GetName()] = labels
		}
	}
	require.Equal(t, own, documented)
}
