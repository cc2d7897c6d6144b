package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	now := time.Now()
	x := newThrottle()
	for range triesByOne {
		require.True(t, x.allowed("a", now))
		x.fail("a", now)
	}
	require.False(t, x.allowed("a", now))
	require.True(t, x.allowed("b", now), "others may try")
	require.False(t, x.allowed("a", now.Add(tryAgain-time.Second)))
	require.True(t, x.allowed("a", now.Add(tryAgain)), "time gives one back")
	for i := range triesByAll {
		x.fail(fmt.Sprint(i), now)
	}
	require.False(t, x.allowed("new", now), "many addresses are no way around it")
	for i := range mostKnown + 10 {
		x.fail(fmt.Sprint("x", i), now)
	}
	require.LessOrEqual(t, len(x.by), mostKnown)
	later := now.Add(time.Hour)
	x.fail("y", later)
	require.Len(t, x.by, 1, "who has not tried for long is forgotten")
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/held?x=1": "/held?x=1", "": "/", "//evil": "/", "https://evil": "/", `/\evil`: "/", "/login": "/", "/a\nb": "/", "held": "/", "/people/hr%2Fe1": "/people/hr%2Fe1",
	} {
		require.Equal(t, want, localPath(next), next)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	require.Equal(t, `a\u202eb\nc\x1b`, text("a\u202eb\nc\x1b"))
	require.Equal(t, `"a\u202eb"`, value("a\u202eb"))
	require.Equal(t, "plain name", value("plain name"))
	require.Equal(t, `""`, value(""))
	require.Len(t, []rune(value(strings.Repeat("x", 1000))), mostShown+1)
}
