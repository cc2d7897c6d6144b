package plan_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestPlan_WithBots(t *testing.T) {
	t.Parallel()
	off := []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}}}
	on := []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "false", To: "true"}}}}
	p := plan.Plan{Decisions: []plan.Decision{
		{Action: plan.Deactivate, AccountID: "a", Username: "ada", Ops: off},
		{Action: plan.Deactivate, AccountID: "b", Username: "bob", Ops: off},
		{Action: plan.Reactivate, AccountID: "c", Username: "cleo", Ops: on},
		{Action: plan.Hold, Held: plan.Deactivate, AccountID: "d", Username: "dan", Withheld: off},
	}}
	require.Equal(t, map[string]string{"a": "ada", "b": "bob"}, p.Leavers(), "who is held or comes back is not switched off")
	require.NotContains(t, string(rendered(t, p.WithBots(nil), plan.Style{})), "bots")
	got := p.WithBots(map[string][]string{"b": {"mail\x1bbot"}, "a": {"deploybot"}, "c": {"no"}, "d": {"no"}})
	require.Contains(t, string(rendered(t, got, plan.Style{})),
		`Warning: bots that stop with their owner: "deploybot" (owner ada), "mail\x1bbot" (owner bob).`, "sorted, and safe to print")
	require.Contains(t, string(rendered(t, got, plan.Style{Redact: true})), "Warning: bots that stop with their owner: 2.")
	require.Equal(t, p.Digest(), got.Digest(), "they are no part of what is done")
	require.Empty(t, plan.OnlyLink(got).Bots)
	var many []string
	for i := range 1013 {
		many = append(many, fmt.Sprintf("bot%04d", i))
	}
	text := string(rendered(t, p.WithBots(map[string][]string{"a": many}), plan.Style{}))
	require.Contains(t, text, `"bot0009" (owner ada) and 1 003 more.`)
	require.NotContains(t, text, "bot0010")
}
