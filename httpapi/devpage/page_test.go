package devpage_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"keyhint/httpapi/browsertest"
)

//go:embed testdata/probe.js
var probe string

// page is the page of a real keyhint in a real Chromium. A test fails in the end
// if anything was written to the console, blocked by the policy or asked of
// another origin.
type page struct {
	testing.TB
	*keyhint
	tab context.Context

	mutex    sync.Mutex
	requests []string // URLs
	faults   []string
}

// excused are faults that every browser writes to the console by itself, by
// their beginning.
const (
	refusedKeys  = "error: Failed to load resource: the server responded with a status of 403 (Forbidden) of /v1/key"
	noConnection = "error: Failed to load resource: net::ERR_"
)

// openPage opens the page and waits until there is a session.
func openPage(t testing.TB, k *keyhint, excused ...string) *page {
	t.Helper()
	p := &page{TB: t, keyhint: k, tab: browsertest.NewTab(t)}
	if err := chromedp.Listen(p.tab, p.hear); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, cdpage.AddScriptToEvaluateOnNewDocument, cdpage.AddScriptToEvaluateOnNewDocumentParams{Source: probe})
	t.Cleanup(func() { p.check(excused) })
	p.visit()
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *page) hear(event any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	fault := func(format string, args ...any) { p.faults = append(p.faults, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		var texts []string
		for _, arg := range e.Args {
			texts = append(texts, string(arg.Value)+arg.Description)
		}
		fault("console.%s: %s", e.Type, strings.Join(texts, " "))
	case *runtime.EventExceptionThrown:
		fault("exception: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		fault("%s: %s of %s", e.Entry.Level, e.Entry.Text, strings.TrimPrefix(e.Entry.URL, p.url))
	}
}

// check runs when the test is over.
func (p *page) check(excused []string) {
	violations := evaluate[[]string](p, `probe.violations`)
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, fault := range append(p.faults, violations...) {
		if !slices.ContainsFunc(excused, func(beginning string) bool { return strings.HasPrefix(fault, beginning) }) {
			p.Errorf("the browser reports %s", fault)
		}
	}
	if len(p.requests) < 20 {
		p.Errorf("%d requests were seen, which are not all", len(p.requests))
	}
	for _, url := range p.requests {
		if !strings.HasPrefix(url, p.url+"/") {
			p.Errorf("the page asks for %s", url)
		}
	}
}

// call runs a command of the DevTools protocol.
func call[P, R any](p *page, command cdp.Command[P, R], params P) R {
	p.Helper()
	result, err := chromedp.Call(p.tab, command, params)
	if err != nil {
		p.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// visit opens the page, or reloads it.
func (p *page) visit() {
	p.Helper()
	must(p, chromedp.Do(p.tab, chromedp.Navigate(p.url+"/")))
	p.await("the page is ready", `'ready' in document.documentElement.dataset`)
}

func evaluate[T any](p *page, script string) T {
	p.Helper()
	result, err := chromedp.Run(p.tab, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%v, running %s", err, script)
	}
	return result
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

// await waits until a condition in JavaScript holds.
func (p *page) await(what, condition string) {
	p.Helper()
	script := fmt.Sprintf(`new Promise((resolve) => {
		const end = performance.now() + %d;
		const look = () => {
			if (%s) resolve(true);
			else if (performance.now() > end) resolve(false);
			else setTimeout(look, 5);
		};
		look();
	})`, patience.Milliseconds(), condition)
	if !evaluate[bool](p, script) {
		p.Fatalf("%s: not after %v; the page says %q", what, patience, evaluate[string](p, `document.body.innerText`))
	}
}

// inFrame is JavaScript for an element in an editor's frame.
func inFrame(name, selector string) string {
	return fmt.Sprintf(`document.querySelector('iframe[name=%s]').contentDocument.querySelector(%s)`, name, quote(selector))
}

var names = []string{"Alice", "Bob"}

// text is what stands in an editor.
func (p *page) text(name string) string {
	p.Helper()
	return evaluate[string](p, inFrame(name, "textarea")+".value")
}

// sameText waits until the session has so many messages, a number or JavaScript
// for one, and both editors show the same, and returns it.
func (p *page) sameText(messages any) string {
	p.Helper()
	p.await("both have all that was written", fmt.Sprintf(`parseInt(document.querySelector('#summary').textContent) === %v && %s.value === %s.value`,
		messages, inFrame("Alice", "textarea"), inFrame("Bob", "textarea")))
	return p.text("Alice")
}

// selectText focuses an editor and selects a part of its text, in UTF-16 units.
func (p *page) selectText(name string, start, end int) {
	p.Helper()
	evaluate[bool](p, fmt.Sprintf(`(() => {
		const text = %s;
		text.focus();
		text.setSelectionRange(%d, %d);
		return true;
	})()`, inFrame(name, "textarea"), start, end))
}

// typeAtEnd adds to the text of an editor, as one input.
func (p *page) typeAtEnd(name, text string) {
	p.Helper()
	p.selectText(name, 1<<20, 1<<20)
	p.insert(text)
}

// insert is what a keyboard or an input method does: text in place of the selection.
func (p *page) insert(text string) {
	p.Helper()
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

func (p *page) press(keys string, options ...chromedp.KeyOption) {
	p.Helper()
	must(p, chromedp.Do(p.tab, chromedp.KeyEvent(keys, options...)))
}

// story is what a step shows.
type story struct {
	State, Verdict, Announced string
	Exchanges                 []exchange
	Notes                     []string
}

type exchange struct {
	Who, Status, Request, Answer string
	Key                          string // its fingerprint
}

const readStory = `(() => {
	const texts = (selector, within = document) => Array.from(within.querySelectorAll(selector), (node) => node.textContent);
	const node = document.querySelector('.story');
	return {
		state: node.dataset.state, verdict: texts('.verdict', node)[0], announced: document.querySelector('#outcome').textContent,
		notes: texts('.note', node),
		exchanges: Array.from(node.querySelectorAll('.exchange'), (item) => ({
			who: item.dataset.who, status: item.dataset.status,
			request: texts('.request', item)[0], answer: texts('.answer', item)[0], key: texts('.key', item)[0] ?? '',
		})),
	};
})()`

// step has a step done, by its button, and returns what it shows. A choice is the
// text of an option.
func (p *page) step(name string, choice ...string) story {
	p.Helper()
	card := `[data-step="` + name + `"]`
	for _, text := range choice {
		evaluate[bool](p, fmt.Sprintf(`(() => {
			const select = document.querySelector('%s select');
			select.value = Array.from(select.options).find((option) => option.text === %s).value;
			return true;
		})()`, card, quote(text)))
	}
	return p.click(card + " button")
}

// click clicks on a button that begins a step, and waits for the end of it.
func (p *page) click(selector string) story {
	p.Helper()
	evaluate[bool](p, `(document.querySelector('.story')?.remove(), true)`)
	must(p, chromedp.Do(p.tab, chromedp.Click(chromedp.CSS(selector))))
	return p.ended()
}

// ended waits for the end of a step.
func (p *page) ended() story {
	p.Helper()
	p.await("the step ends", `document.querySelector('.story') && !('running' in document.documentElement.dataset)`)
	s := evaluate[story](p, readStory)
	if s.Verdict == "" || s.Announced != s.Verdict {
		p.Errorf("the step says %q and announces %q", s.Verdict, s.Announced)
	}
	return s
}
