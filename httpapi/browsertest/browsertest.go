// Package browsertest gives tests a real Chromium.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Timeout bounds a test with a browser.
const Timeout = time.Minute

// RequireTool finds a program by one of its names. Where it is not installed
// the test is skipped or, if everything must run, fails.
func RequireTool(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	SkipUnlessRequired(t, names[0]+" is not installed")
	return ""
}

// SkipUnlessRequired skips what this machine cannot run. Where everything must
// run, it fails instead.
func SkipUnlessRequired(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("KEYHINT_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// NewTab starts a Chromium with an empty profile, and returns its one tab, as a
// context of chromedp. The browser ends with the test.
func NewTab(t testing.TB, options ...chromedp.ContextOption) context.Context {
	t.Helper()
	program := RequireTool(t, "chromium", "chromium-browser", "google-chrome")
	folder := newProfile(t)
	flags := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(folder), chromedp.Env("TMPDIR="+folder),
		chromedp.NoSandbox, // for root and containers; it opens these tests' pages only
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, stop := context.WithTimeout(context.Background(), Timeout)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, flags...)
	t.Cleanup(stop)
	tab, stop := chromedp.NewContext(ctx, append(options, chromedp.WithErrorf(t.Logf))...)
	t.Cleanup(stop)
	t.Cleanup(func() { chromedp.Cancel(tab) }) // lets it end by itself
	return tab
}

// newProfile makes the folder of all that a browser writes, with the one setting
// that matters to tests: cookies go along with requests to other sites too, which
// some builds leave out. It must not be the browser that keeps the endpoint safe.
func newProfile(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "keyhint-browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 1000 { // the browser's last process may still be writing
			if os.RemoveAll(folder) == nil {
				return
			}
		}
		t.Errorf("%s cannot be removed", folder)
	})
	if err := os.Mkdir(filepath.Join(folder, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	settings := `{"profile":{"block_third_party_cookies":false,"cookie_controls_mode":0}}`
	if err := os.WriteFile(filepath.Join(folder, "Default", "Preferences"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}
