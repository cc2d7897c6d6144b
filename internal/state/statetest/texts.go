package statetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func texts(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Text/every valid character comes back", func(t *testing.T, s state.Store) {
		for i, text := range []string{
			"\x01\x02\x1b[31m\x7f", "\r\n\t", "quote ' \" ` \\ ; -- /* $1 ?", "\u202e right to left", "\u2028 \ufeff \ufffd",
			"👩‍👩‍👧 \U0010ffff", "e\u0301 is not é", "<&>", " leading and trailing ", `\u0000`, "%s %d",
		} {
			l := link(i)
			l.Key.Anchor, l.Ref, l.Applied.Profile.FirstName, l.Observed.LastName = text, text, text, text
			l.Observed.Roles = identity.Roles{text}
			put(t, s, l)
			got, err := s.Links(t.Context(), state.LinkFilter{Keys: []identity.Key{l.Key}})
			require.NoError(t, err)
			require.Equal(t, []identity.Link{l}, got)
		}
	})
	for name, text := range map[string]string{
		"a NUL byte": "a\x00b", "a lone byte": "caf\xe9", "a cut character": "\xe2\x82", "a surrogate": "\xed\xa0\x80",
	} {
		open.test(t, "Text/with "+name+" is refused everywhere", func(t *testing.T, s state.Store) { refusesText(t, s, text) })
	}
	open.test(t, "Key/a longer one than can be indexed is refused", func(t *testing.T, s state.Store) {
		long := link(1)
		long.Key.Anchor = string(make([]byte, state.MaxKeyBytes+1))
		require.ErrorIs(t, s.PutLinks(t.Context(), acquire(t, s), []identity.Link{long}), state.ErrInvalid)
		for n := range state.MaxKeyBytes { // not compressible, so that the index really holds it
			long.Key.Anchor = long.Key.Anchor[:n] + string(rune('!'+(n*n*31+n*7)%90)) + long.Key.Anchor[n+1:]
		}
		long.Key.Anchor = long.Key.Anchor[:state.MaxKeyBytes]
		put(t, s, long)
	})
}

func refusesText(t *testing.T, s state.Store, bad string) {
	ctx := t.Context()
	l := begin(t, s, "run1")
	for name, spoil := range map[string]func(*identity.Link){
		"anchor":   func(l *identity.Link) { l.Key.Anchor = bad },
		"account":  func(l *identity.Link) { l.AccountID = bad },
		"ref":      func(l *identity.Link) { l.Ref = bad },
		"applied":  func(l *identity.Link) { l.Applied.Profile.Nickname = bad },
		"hash":     func(l *identity.Link) { l.Applied.Hash = bad },
		"picture":  func(l *identity.Link) { l.Applied.Picture = bad },
		"observed": func(l *identity.Link) { l.Observed.Auth.Data = bad },
		"roles":    func(l *identity.Link) { l.Observed.Roles = identity.Roles{bad} },
	} {
		spoiled := link(1)
		spoil(&spoiled)
		require.ErrorIs(t, s.PutLinks(ctx, l, []identity.Link{spoiled}), state.ErrInvalid, name)
		require.ErrorIs(t, s.RecordOp(ctx, l, withLink(ref("run1", 0, 0), spoiled)), state.ErrInvalid, name)
	}
	for name, spoil := range map[string]func(*plan.Decision){
		"anchor": func(d *plan.Decision) { d.Key.Anchor = bad },
		"ref":    func(d *plan.Decision) { d.Ref = bad },
		"detail": func(d *plan.Decision) { d.Detail = bad },
		"name":   func(d *plan.Decision) { d.Username = bad },
		"note":   func(d *plan.Decision) { d.Notes = []plan.Note{{To: bad}} },
		"change": func(d *plan.Decision) { d.Ops = []plan.Op{{Changes: []plan.Change{{From: bad}}}} },
	} {
		d := deactivation(1)
		spoil(&d)
		err := s.BeginRun(ctx, l, run("run2", l), plan.Plan{Decisions: []plan.Decision{d}}, state.SightingChanges{})
		require.ErrorIs(t, err, state.ErrInvalid, name)
	}
	r := run("run2", l)
	r.Sources[0].Doubt = bad
	require.ErrorIs(t, s.SaveRun(ctx, r), state.ErrInvalid)
	require.ErrorIs(t, s.SaveRun(ctx, state.Run{ID: bad}), state.ErrInvalid)
	failed := outcome(ref("run1", 0, 0), state.OpFailed)
	failed.Error = bad
	require.ErrorIs(t, s.RecordOp(ctx, l, failed), state.ErrInvalid)
	require.ErrorIs(t, s.MarkSent(ctx, l, ref(bad, 0, 0), at(1)), state.ErrInvalid)
	require.ErrorIs(t, s.RecordRead(ctx, state.Read{Source: bad, At: at(1)}), state.ErrInvalid)
	require.ErrorIs(t, s.SetMark(ctx, l, state.Mark{Name: bad}), state.ErrInvalid)
	require.ErrorIs(t, s.ReplaceIndex(ctx, l, []state.IndexedAccount{{ID: "x", Email: bad}}), state.ErrInvalid)
	require.ErrorIs(t, s.Protect(ctx, l, []state.ProtectedAccount{{ID: "x", Pattern: bad}}), state.ErrInvalid)
	_, err := s.Bind(ctx, state.Binding{Name: "x", ID: bad})
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.AcquireLease(ctx, "x", bad, longTTL)
	require.ErrorIs(t, err, state.ErrInvalid)
	refusesFilters(t, s, bad)
	requireEmptyBut(t, s, "run1")
}

func refusesFilters(t *testing.T, s state.Store, bad string) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Links(ctx, state.LinkFilter{Keys: []identity.Key{{Source: bad, Anchor: "x"}}})
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Links(ctx, state.LinkFilter{AccountIDs: []string{bad}})
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.PastLinks(ctx, []string{bad})
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Runs(ctx, state.RunFilter{ID: bad})
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Ops(ctx, state.OpFilter{AccountID: bad})
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Decisions(ctx, bad)
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Index(ctx, state.IndexFilter{Auth: []identity.Auth{{Data: bad}}})
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Usage(ctx, bad, at(0))
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Sightings(ctx, bad)
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Reads(ctx, bad, at(0))
	require.ErrorIs(t, err, state.ErrInvalid)
	_, err = s.Mark(ctx, bad)
	require.ErrorIs(t, err, state.ErrInvalid)
}
