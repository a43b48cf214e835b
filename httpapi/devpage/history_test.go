package devpage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestHistoryOutlivesTheServer kills the server, starts it again, reloads the
// page, and finds everything as it was; through five rotations, each session can
// be opened again.
func TestHistoryOutlivesTheServer(t *testing.T) {
	p := openPage(t, newKeyhint(t), noConnection)
	p.typeAtEnd("Alice", "ouverture ")
	p.typeAtEnd("Bob", "scherzo")
	before := p.sameText(3)

	p.kill()
	p.await("the page sees that keyhint is gone", `document.documentElement.dataset.keyhint === 'down'`)
	if notice := evaluate[string](p, `document.querySelector('[role=alert]').textContent`); notice == "" {
		t.Error("the page says nothing of it")
	}
	// Both have the key already.
	p.typeAtEnd("Alice", " finale")
	if after := p.sameText(4); after != before+" finale" {
		t.Errorf("without keyhint, %q becomes %q", before, after)
	}
	if s := p.step("open"); s.State != "unexpected" || len(s.Exchanges) != 1 || s.Exchanges[0].Status != "0" {
		t.Errorf("without keyhint, a session: %+v", s)
	}
	p.restart()
	p.await("the page sees that keyhint is back", `document.documentElement.dataset.keyhint === 'up' && document.querySelector('[role=alert]').textContent === ''`)
	p.visit()
	p.opened(1)
	if after := p.sameText(4); after != before+" finale" {
		t.Errorf("after a restart, the history is %q", after)
	}

	texts := map[int]string{1: p.text("Alice")}
	for version := 2; version <= 6; version++ {
		if s := p.step("rotate"); s.State != "shown" {
			t.Fatalf("rotation to version %d: %+v", version, s)
		}
		if s := p.step("open"); s.State != "shown" {
			t.Fatalf("a session of version %d: %+v", version, s)
		}
		p.typeAtEnd("Bob", fmt.Sprintf("movement %d", version))
		texts[version] = p.sameText(2)
	}
	check := func(number int) {
		t.Helper()
		s := p.step("reopen", fmt.Sprint(number))
		if s.State != "shown" || len(s.Exchanges) != 2 || s.Exchanges[0].Key == "" || s.Exchanges[0].Key != s.Exchanges[1].Key {
			t.Errorf("session %d: %+v", number, s)
		}
		for _, name := range names {
			if got := p.text(name); got != texts[number] {
				t.Errorf("session %d shows %s %q, want %q", number, name, got, texts[number])
			}
		}
	}
	for number := 1; number < 6; number++ {
		check(number)
	}
	p.kill()
	p.restart()
	p.visit()
	p.opened(5)
	for number := 6; number >= 1; number-- {
		if number != 5 {
			check(number)
		}
	}

	// The endpoint moves, and the page begins anew by itself.
	file := filepath.Join(p.dir, "keyhint.dev.yaml")
	text, err := os.ReadFile(file)
	must(t, err)
	move := chromedp.Func(func(context.Context, *chromedp.Target) error {
		return os.WriteFile(file, []byte(strings.Replace(string(text), "server:", "server:\n  path: /elsewhere", 1)), 0o600)
	})
	_, err = chromedp.Run(p.tab, chromedp.WaitEvent(cdpage.LoadEventFired, nil, move))
	must(t, err)
	p.await("the page is ready", `'ready' in document.documentElement.dataset`)
	if endpoint := evaluate[string](p, `document.querySelector('#endpoint').textContent`); endpoint != "POST /elsewhere" {
		t.Errorf("the page asks with %s", endpoint)
	}
	if s := p.step("open"); s.State != "shown" {
		t.Errorf("at another path: %+v", s)
	}
}

// opened waits until both editors are in a session.
func (p *page) opened(number int) {
	p.Helper()
	for _, name := range names {
		p.await(fmt.Sprintf("%s is in session %d", name, number), fmt.Sprintf(`%s.textContent.startsWith('Session %d.') && !%s.readOnly`,
			inFrame(name, "#state"), number, inFrame(name, "textarea")))
	}
}
