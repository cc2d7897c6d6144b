package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
)

func TestSameGUID(t *testing.T) {
	t.Parallel()
	// One objectGUID, as ldapsearch, PowerShell and Mattermost show it.
	forms := []string{`\1e\bc\ff\1e\a3\4a\9d\4f\a5\08\d4\d8\1f\1f\58\73`, "Hrz/HqNKnU+lCNTYHx9Ycw==", "1effbc1e-4aa3-4f9d-a508-d4d81f1f5873"}
	for i, a := range forms {
		for j, b := range forms {
			require.Equal(t, i != j, identity.SameGUID(a, b), "%s and %s", a, b)
		}
		for _, other := range []string{
			"", "anna@example.test", "1effbc1e-4aa3-4f9d-a508-d4d81f1f5874", `\1e\bc\ff\1e\a3\4a\9d\4f\a5\08\d4\d8\1f\1f\58\7z`,
			"1efzbc1e-4aa3-4f9d-a508-d4d81f1f5873", "not base64 but this long", "1ebcff1ea34a9d4fa508d4d81f1f5873",
		} {
			require.False(t, identity.SameGUID(a, other), "%s and %s", a, other)
			require.False(t, identity.SameGUID(other, a), "%s and %s", other, a)
		}
	}
}
