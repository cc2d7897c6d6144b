package main

import (
	"fmt"
	"strings"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// kindWords name one and several accounts of a kind.
var kindWords = map[reconcile.Kind][2]string{ //nolint:gochecknoglobals // read-only words
	reconcile.KindPerson:      {"of a person no source lists", "of people no source lists"},
	reconcile.KindGuest:       {"guest", "guests"},
	reconcile.KindAdmin:       {"with more rights than a user", "with more rights than a user"},
	reconcile.KindDeactivated: {"deactivated", "deactivated"},
	reconcile.KindProtected:   {"protected", "protected"},
	reconcile.KindRemote:      {"of another server", "of other servers"},
	reconcile.KindBot:         {"bot", "bots"},
}

// censusText says what becomes of the accounts that were there before mmsync.
func censusText(c *reconcile.Census) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nOf the %d accounts of the server, new ones not counted:\n", c.Accounts)
	if c.Owned > 0 {
		fmt.Fprintf(&b, "  %d linked before\n", c.Owned)
	}
	for _, e := range plan.Explanations() {
		if n := c.Adopted[e.Reason]; n > 0 {
			fmt.Fprintf(&b, "  %d adopted by %s\n", n, e.Reason)
		}
	}
	if n := c.Unmanaged[reconcile.KindAsked]; n > 0 {
		fmt.Fprintf(&b, "  %d waiting for a word whose they are; mmsync link conflicts lists them\n", n)
	}
	total := 0
	var kinds []string
	for _, k := range reconcile.Kinds() {
		if n := c.Unmanaged[k]; n > 0 && k != reconcile.KindAsked {
			total += n
			kinds = append(kinds, fmt.Sprintf("%d %s", n, kindWords[k][min(n-1, 1)]))
		}
	}
	if total > 0 {
		fmt.Fprintf(&b, "  %d nobody's (%s); mmsync link unmanaged lists them\n", total, strings.Join(kinds, ", "))
	}
	return b.String()
}
