package traps

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun_judge(t *testing.T) {
	t.Parallel()
	const (
		failed    = `{"Action":"fail","Test":"TestA/b_c"}` + "\n" + `{"Action":"fail","Test":"TestA"}` + "\n"
		assertion = `{"Action":"output","Test":"TestA/b_c","Output":"\tError Trace:\tx.go:1\n\tError:      \tNot equal: \n\t   \texpected: 1\n\tMessages:   \tone\n"}` + "\n"
	)
	for name, c := range map[string]struct{ output, trouble, said, fault string }{
		"an assertion that fails is what is looked for": {assertion + failed, "", "fail: Not equal: — one", ""},
		"a test that passes is too weak":                {`{"Action":"pass","Test":"TestA/b_c"}`, "", "pass", "it does not fail"},
		"a test that is not there proves nothing":       {`{"Action":"fail","Test":"TestA"}`, "", "", "it does not fail"},
		"another test's assertion is not this one's": {
			`{"Action":"output","Test":"TestA/other","Output":"Error Trace: x"}` + "\n" + failed, "", "fail", "by something else",
		},
		"source that does not compile proves nothing": {
			`{"Action":"build-output","Output":"x.go:1: declared and not used"}` + "\n" + `{"Action":"build-fail"}`, "does not compile:\nx.go:1", "", "",
		},
		"a panic proves nothing": {
			assertion + `{"Action":"output","Test":"TestA","Output":"--- FAIL: TestA\npanic: test timed out after 2m0s\n"}` + "\n" + failed, "it panics", "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &run{pkg: "internal/a", tests: []string{"TestA/b c"}}
			err := r.judge([]byte(c.output))
			if c.trouble != "" {
				require.ErrorContains(t, err, c.trouble)
				return
			}
			require.NoError(t, err)
			said, fault := r.outcome("TestA/b c")
			require.Equal(t, c.said, said)
			require.Contains(t, fault, c.fault)
			require.Equal(t, c.fault == "", fault == "")
		})
	}
}

func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.go"), []byte("one\ntwo\ntwo\nthree\n"), 0o600))
	files, err := switchedOff(dir, []edit{{"a.go", "one", "1"}, {"a.go", "three", "3"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a.go": "1\ntwo\ntwo\n3\n"}, files)
	for _, old := range []string{"four", "two"} {
		_, err := switchedOff(dir, []edit{{"a.go", old, "x"}})
		require.ErrorContains(t, err, "it has to be once")
	}
}
