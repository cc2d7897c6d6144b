package filter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"eq":         `userName eq "x"`,
		"URN":        enterprise + `:manager.value eq "u2"`,
		"value path": `emails[type eq "work"].value eq "x"`,
		"200 terms":  strings.Repeat(`a eq "x" and `, 199) + `a eq "x"`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := filter.Parse(text, filter.Options{Lenient: everything}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, o := range map[string]filter.Options{"refused 10,000 brackets": {}, "refused 10,000 brackets with room": {Bytes: 1 << 20}} {
		text := strings.Repeat("(", 10_000)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := filter.Parse(text, o); err == nil {
					b.Fatal("read")
				}
			}
		})
	}
}

// plain is a schema whose values cost nothing, so that what is measured is ours.
type plain struct{ values []any }

func (p plain) Field(filter.Attr) (filter.Field, error) {
	return filter.Field{Values: func(any) []any { return p.values }}, nil
}

func BenchmarkCompiled(b *testing.B) {
	for name, text := range map[string]string{
		"eq":  `userName eq "Nora.Lind@example.org"`,
		"co":  `userName co "LIND@"`,
		"and": `userName sw "nora" and userName ew "example.org" and not (userName eq "x")`,
		"é":   `userName ne "é"`,
	} {
		b.Run(name, func(b *testing.B) {
			e, err := filter.Parse(text, filter.Options{})
			require.NoError(b, err)
			holds, err := filter.Compile(e, plain{values: []any{"Nora.Lind@Example.org"}})
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if !holds(nil) {
					b.Fatal("does not hold")
				}
			}
		})
	}
}

func BenchmarkFold(b *testing.B) {
	for name, text := range map[string]string{"ASCII": "nora.lind@example.org", "capitals": "Nora.Lind@example.org", "é": "Nora.Lindé@example.org"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				filter.Fold(text)
			}
		})
	}
}

// A filter is read for every request: this is what it may allocate.
func TestParse_Allocations(t *testing.T) { //nolint:paralleltest // counts the allocations of all
	for text, most := range map[string]float64{`userName eq "x"`: 3, `active eq true and id pr`: 4} {
		got := testing.AllocsPerRun(100, func() { _, _ = filter.Parse(text, filter.Options{}) })
		require.LessOrEqual(t, got, most, text)
	}
}
