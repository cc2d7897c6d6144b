package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state"
)

// screenshots names a directory that pictures of the pages are written to, to be looked
// at; none are made without it.
const screenshots = "MMSYNC_SCREENSHOTS"

// browser starts Chromium for one test, which ends it; the test is skipped where there
// is none, unless MMSYNC_TEST_REQUIRE names chromium.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if pgtest.Requires("chromium") {
			t.Fatalf("%s requires chromium, and there is none", pgtest.EnvRequire)
		}
		t.Skip("no chromium: install Debian's package chromium to see the status page in a browser")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU)
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has no other way as root
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	return ctx
}

func browsed(t *testing.T) *pageWorld {
	t.Helper()
	i := newIDP(t)
	people := staff(24, 0)
	w := newPage(t, "token: "+pageToken+", "+oidcAdmin(i, "approvers: {claim: groups, values: [admins]}"), people...)
	w.sync(t)
	w.sim.AddUser(mmsim.User{Username: "taken", Email: "mallory00@example.test"})
	people = append(people, hostile()...)
	people[10]["title"], people[11]["mail"] = "Director of a very long title / Platform", "new.address@example.test"
	w.write(t, people...)
	w.sync(t)
	for i := range 5 {
		people[i]["status"] = "left"
	}
	w.write(t, append(people[:22], people[24:]...)...) // two are missing
	rep := w.sync(t)
	require.Equal(t, state.RunWithheld, rep.Status)
	return w
}

// fits fails if a page is wider than the screen.
func fits(path string, width int) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		m, err := cdp.Call(ctx, tab, page.GetLayoutMetrics, cdp.Empty{})
		if err == nil && int(m.CSSContentSize.Width) > width {
			err = fmt.Errorf("%s is %v wide, the screen %d", path, m.CSSContentSize.Width, width)
		}
		return err
	})
}

// spoken fails unless somebody who is read the page to finds his way: it has a title, one
// main part and one headline, and whatever can be used has a name.
func spoken(path string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		tree, err := cdp.Call(ctx, tab, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		text := func(v *accessibility.Value) string {
			var s string
			if v == nil || json.Unmarshal(v.Value, &s) != nil {
				return ""
			}
			return strings.TrimSpace(s)
		}
		mains, headlines := 0, 0
		for _, n := range tree.Nodes {
			if n.Ignored {
				continue
			}
			switch role := text(n.Role); role {
			case "main":
				mains++
			case "heading":
				for _, p := range n.Properties {
					if p.Name == "level" && string(p.Value.Value) == "1" {
						headlines++
					}
				}
			case "RootWebArea", "button", "link", "textbox", "searchbox", "checkbox", "radio", "combobox", "table", "navigation", "image":
				if text(n.Name) == "" {
					return fmt.Errorf("%s has a %s without a name", path, role)
				}
			}
		}
		if mains != 1 || headlines != 1 {
			return fmt.Errorf("%s has %d main parts and %d headlines", path, mains, headlines)
		}
		return nil
	})
}

// prefers tells pages whether somebody likes them light or dark.
func prefers(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

// withoutScripts keeps scripts of pages from being run.
func withoutScripts() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}

// enter logs in by the form.
func enter(w *pageWorld) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.Navigate(w.server.URL+"/login?next=/held"),
		chromedp.SendKeys(chromedp.CSS("#token"), pageToken+kb.Enter),
		chromedp.WaitVisible(chromedp.CSS("form.say")),
	)
}

func TestPage_in_a_browser_nothing_scrolls_sideways_and_all_can_be_read_out(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	w := browsed(t)
	runs, err := w.Store.Runs(t.Context(), state.RunFilter{})
	require.NoError(t, err)
	first := runs[len(runs)-1]
	dir := os.Getenv(screenshots)
	look := func(who string, paths map[string]string) {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int{1280, 390} {
				for _, name := range slices.Sorted(maps.Keys(paths)) {
					require.NoError(t, chromedp.Do(ctx, prefers(scheme), chromedp.EmulateViewport(int64(width), 844), chromedp.Navigate(w.server.URL+paths[name]), fits(name, width), spoken(name)))
					if dir == "" {
						continue
					}
					picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
					require.NoError(t, err)
					require.NoError(t, os.MkdirAll(dir, 0o755))
					require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%d-%s.png", who, name, width, scheme)), picture, 0o600))
				}
			}
		}
	}
	look("nobody", map[string]string{"overview": "/", "held": "/held", "login": "/login", "run": "/runs/" + runs[0].ID, "conflicts": "/conflicts", "runs": "/runs"})
	require.NoError(t, chromedp.Do(ctx, enter(w)))
	look("approver", map[string]string{
		"overview": "/", "runs": "/runs", "run-held": "/runs/" + runs[0].ID, "run-changed": "/runs/" + runs[1].ID, "run-first": "/runs/" + first.ID, "held": "/held", "conflicts": "/conflicts",
		"people": "/people", "person": "/people/hr%2Fe00", "hostile": "/people/hr%2Fy0", "unknown": "/people?q=nobody", "missing-page": "/nothing",
	})
}

func TestPage_in_a_browser_an_approval_lets_what_is_held_through(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	w := browsed(t)
	require.NoError(t, chromedp.Do(ctx, withoutScripts(), enter(w), chromedp.KeyEvent(kb.Tab)))
	focused, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS(":focus")))
	require.NoError(t, err)
	require.Equal(t, "Skip to the content", focused, "the first stop of the keyboard")
	require.NoError(t, chromedp.Do(
		ctx,
		chromedp.SendKeys(chromedp.CSS(`input[name=person][value="hr%2Fe03"]`), " "), // without a mouse
		chromedp.SendKeys(chromedp.CSS(".say input[name=reason]"), "she left on Monday"),
		chromedp.SendKeys(chromedp.CSS(`button[value=approve]`), kb.Enter),
		chromedp.WaitVisible(chromedp.CSS("p[role=status]")),
	))
	said, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS("p[role=status]")))
	require.NoError(t, err)
	require.Contains(t, said, "1 person approved")
	u, ok := w.sim.UserByName("person03")
	require.True(t, ok)
	require.Zero(t, u.DeleteAt)
	w.sync(t)
	for name, off := range map[string]bool{"person03": true, "person02": false, "person04": false} {
		u, _ := w.sim.UserByName(name)
		require.Equal(t, off, u.DeleteAt != 0, name)
	}
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(w.server.URL+"/people/hr%2Fe03"), chromedp.WaitVisible(chromedp.CSS(".sheet"))))
	said, err = chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS(".sheet")))
	require.NoError(t, err)
	require.Contains(t, said, "the account is switched off")
}
