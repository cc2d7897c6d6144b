package reconcile_test

import (
	"os"
	"testing"

	"github.com/mmsync/mmsync/internal/pgtest"
)

func TestMain(m *testing.M) {
	pgtest.SideBySide(4)
	os.Exit(pgtest.Main(m))
}
