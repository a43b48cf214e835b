package devpage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"keyhint/httpapi/browsertest"
)

// look is how somebody has their browser.
type look struct {
	width, height int64
	scheme        string
}

var looks = []look{{1280, 900, "light"}, {1280, 900, "dark"}, {390, 844, "light"}, {390, 844, "dark"}}

func (l look) String() string { return fmt.Sprintf("%d-%s", l.width, l.scheme) }

func (p *page) lookAs(l look) {
	p.Helper()
	must(p, chromedp.Do(p.tab, chromedp.EmulateViewport(l.width, l.height)))
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	p.await("the page has this look", fmt.Sprintf(`innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches`, l.width, l.scheme))
}

// gallery is the folder for screenshots.
func gallery(t *testing.T) string {
	t.Helper()
	folder := os.Getenv(screenshots)
	if folder == "" {
		return t.ArtifactDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// fits fails the test if anything is wider than its window.
func (p *page) fits(state string) {
	p.Helper()
	for what, document := range map[string]string{"the page": "document", "Alice's frame": inFrame("Alice", "html") + ".ownerDocument", "Bob's frame": inFrame("Bob", "html") + ".ownerDocument"} {
		width := evaluate[[]int](p, fmt.Sprintf(`(({ documentElement: { scrollWidth, clientWidth } }) => [scrollWidth, clientWidth])(%s)`, document))
		if width[0] > width[1] {
			p.Errorf("%s: %s is %d wide in %d", state, what, width[0], width[1])
		}
	}
}

// inspect looks at the page in every way, takes its picture, and has axe-core
// look for what keeps people out.
func (p *page) inspect(folder, state, axe string) {
	p.Helper()
	for _, l := range looks {
		p.lookAs(l)
		p.fits(fmt.Sprintf("%s, %s", state, l))
		picture, err := chromedp.Run(p.tab, chromedp.FullScreenshot(100))
		must(p, err)
		must(p, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%s.png", state, l)), picture, 0o644))
		for _, violation := range p.audit(axe) {
			p.Errorf("%s, %s: axe-core: %s", state, l, violation)
		}
	}
	p.lookAs(looks[0])
}

// audit runs axe-core in the page and in the frames, in worlds of its own, which
// the page's policy does not bind.
func (p *page) audit(axe string) []string {
	p.Helper()
	tree := call(p, cdpage.GetFrameTree, cdp.Empty{}).FrameTree
	frames := []*cdpage.FrameTree{tree}
	frames = append(frames, tree.ChildFrames...)
	if len(frames) != 3 {
		p.Fatalf("%d documents", len(frames))
	}
	var violations []string
	for _, frame := range frames {
		world := call(p, cdpage.CreateIsolatedWorld, cdpage.CreateIsolatedWorldParams{FrameID: frame.Frame.ID, WorldName: "axe"}).ExecutionContextID
		in := func(params *runtime.EvaluateParams) { params.ContextID = world }
		run := `(async () => {
			if (!globalThis.axe) { ` + axe + ` }
			const { violations, passes } = await globalThis.axe.run(document, { iframes: false });
			if (passes.length < 8) throw new Error('axe-core has looked at nothing');
			return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ': ' + html + ' ' + failureSummary));
		})()`
		found, err := chromedp.Run(p.tab, chromedp.Evaluate[[]string](run, chromedp.EvalAwaitPromise, in))
		must(p, err)
		violations = append(violations, found...)
	}
	return violations
}

// readAxe returns axe-core's script.
func readAxe(t testing.TB) string {
	t.Helper()
	script, err := os.ReadFile("../../testdata/node/node_modules/axe-core/axe.min.js")
	if err != nil {
		browsertest.SkipUnlessRequired(t, "axe-core is not installed: npm ci --prefix testdata/node")
	}
	return string(script)
}

// TestEveryStateCanBeSeenByAll inspects every state of the page in light and
// dark, wide and narrow.
func TestEveryStateCanBeSeenByAll(t *testing.T) {
	axe, folder := readAxe(t), gallery(t)
	p := openPage(t, newKeyhint(t), refusedKeys, noConnection)
	p.inspect(folder, "1-initial", axe)
	p.typeAtEnd("Alice", "We move the launch to March.\n")
	p.sameText(2)
	p.typeAtEnd("Bob", "And tell nobody before the board has met.")
	p.sameText(3)
	p.inspect(folder, "2-typing", axe)
	p.step("race")
	p.inspect(folder, "3-race", axe)
	p.step("rotate")
	p.inspect(folder, "4-rotated", axe)
	p.step("reopen", "1")
	p.inspect(folder, "5-reopened", axe)
	p.step("elsewhere")
	p.inspect(folder, "6-hint-refused", axe)
	p.step("disable")
	p.inspect(folder, "7-disabled", axe)
	p.step("reopen", "2")
	p.inspect(folder, "8-session-refused", axe)
	p.kill()
	p.await("the page sees that keyhint is gone", `document.documentElement.dataset.keyhint === 'down'`)
	p.step("open")
	p.inspect(folder, "9-no-answer", axe)
	for _, width := range []int64{320, 700, 820, 1152, 2000} {
		p.lookAs(look{width, 800, "light"})
		p.fits(fmt.Sprint(width))
	}
}

// TestEverythingCanBeDoneWithAKeyboard walks through the page with Tab.
func TestEverythingCanBeDoneWithAKeyboard(t *testing.T) {
	p := openPage(t, newKeyhint(t))
	p.step("open")
	p.lookAs(look{1280, 900, "light"})
	const focused = `(() => {
		let at = document.activeElement, outlined = at;
		if (at.contentDocument) {
			at = at.contentDocument.activeElement;
			outlined = at.closest('main');
		}
		const { outlineStyle, outlineWidth } = getComputedStyle(outlined);
		const step = at.closest('.step')?.dataset.step;
		const name = at.getAttribute('aria-label') ?? (at.labels?.[0] ?? at).textContent.trim();
		return [(step ? step + ': ' : '') + name, String(outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2)];
	})()`
	p.visit() // puts the focus at the beginning
	p.opened(2)
	want := []string{
		"Alice’s text", "Messages as the server sees them", "Find a word you typed in all that it stores", "Bob’s text",
		"open: Open a session", "race: Start the race", "rotate: Add a version", "reopen: Session", "reopen: Reopen it",
		"elsewhere: Try the hint", "disable: Version", "disable: Disable it", "Reopen Session 1 1 message", "Clear that and start over",
	}
	var got []string
	for range want {
		p.press(kb.Tab)
		at := evaluate[[]string](p, focused)
		name := strings.Join(strings.Fields(at[0]), " ")
		for _, option := range []string{" 1", " 2"} { // a label's text has that of its options
			if strings.HasPrefix(name, "reopen: Session") || strings.HasPrefix(name, "disable: Version") {
				name = strings.TrimSuffix(name, option)
			}
		}
		got = append(got, name)
		if at[1] != "true" {
			t.Errorf("%q has the focus, and it cannot be seen", name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Tab leads to %q, want %q", got, want)
	}

	// Back to where something happens, and do it.
	sessions := func() int { return evaluate[int](p, `document.querySelectorAll('.session').length`) }
	focus := func(selector string) {
		evaluate[bool](p, `(document.querySelector('`+selector+`').focus(), document.querySelector('.story')?.remove(), true)`)
	}
	focus("[data-step=open] button")
	p.press(kb.Enter)
	p.ended().wants(t, 2)
	if sessions() != 3 {
		t.Errorf("after Enter there are %d sessions", sessions())
	}
	if at := evaluate[[]string](p, focused); at[0] != "open: Open a session" {
		t.Errorf("then the focus is on %q", at[0])
	}
	focus("[data-step=open] button")
	p.press(" ")
	p.ended().wants(t, 2)
	focus("[data-step=reopen] select")
	p.press("1") // chooses it
	p.press(kb.Tab)
	p.press(kb.Enter)
	p.ended().wants(t, 2, "session 1 opened")
	focus(".timeline button")
	p.press(kb.Enter)
	p.ended().wants(t, 2, "session 2 opened")
	if at := evaluate[string](p, `document.activeElement.className`); at != "story" {
		t.Errorf("after Enter in the time line the focus is on %q", at)
	}
}
