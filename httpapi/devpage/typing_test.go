package devpage_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// TestTypingArrivesEncrypted types on both sides, at random places and without
// waiting for each other, and then looks for what was typed in everything that
// the relay was sent and has stored.
func TestTypingArrivesEncrypted(t *testing.T) {
	const edits = 200
	p := openPage(t, newKeyhint(t))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	if greeting, want := p.sameText(1), "Hello Bob, this is session 1. It left my browser encrypted.\n"; greeting != want {
		t.Errorf("Alice begins with %q, want %q", greeting, want)
	}
	typed := []string{"browser", "encrypted"}

	// Now and then, nothing reaches the other side for a while.
	held := false
	for i := range edits {
		if i%20 == 10 {
			evaluate[bool](p, `(probe.held = [], true)`)
			held = true
		}
		name := names[random.IntN(2)]
		units := len(utf16.Encode([]rune(p.text(name))))
		start := random.IntN(units + 1)
		if random.IntN(3) == 0 {
			start = 0 // often both write at one place at once
		}
		if random.IntN(3) > 0 || units < 20 {
			word := randomWord(random)
			typed = append(typed, word)
			p.selectText(name, start, start)
			p.insert(word + []string{" ", " ", "\n", ",", "é", "𝄞"}[random.IntN(6)])
		} else {
			p.selectText(name, start, min(units, start+1+random.IntN(8)))
			p.press(kb.Backspace)
		}
		if i%20 == 19 {
			if !held || len(p.text("Alice")) == 0 {
				t.Fatal("nothing was held back")
			}
			evaluate[bool](p, `(probe.release(), true)`)
			held = false
			p.sameText("probe.messages()")
		}
	}
	text := p.sameText("probe.messages()")
	messages := evaluate[int](p, `probe.messages()`)
	if messages < 1+edits*9/10 { // what the other side removes meanwhile, cannot be removed again
		t.Errorf("%d edits made %d messages", edits, messages)
	}
	if len(text) < 200 {
		t.Errorf("in the end there are %d bytes of text", len(text))
	}

	keys := evaluate[[]string](p, `probe.keys`)
	if len(keys) != 2 || keys[0] != keys[1] {
		t.Fatalf("keyhint gave out %d keys, want one twice", len(keys))
	}
	stored, sent := evaluate[string](p, `probe.stored()`), evaluate[string](p, `probe.sentText()`)
	t.Logf("%d messages; the relay has stored %d bytes, and %d were sent in the page", messages, len(stored), len(sent))
	for what, all := range map[string]string{"stored": stored, "sent": sent} {
		if len(all) < messages*60 || !strings.Contains(all, "kh1.1-") {
			t.Errorf("what was %s is not all that was: %d bytes", what, len(all))
		}
		for _, secret := range append(typed, keys...) {
			if len(secret) >= 6 && contains(all, secret) {
				t.Errorf("%q is in what was %s", secret, what)
			}
		}
		for _, key := range keys {
			for part := range len(key) - 7 {
				if strings.Contains(all, key[part:part+8]) {
					t.Errorf("part of a key is in what was %s", what)
				}
			}
		}
	}
	if found := evaluate[string](p, fmt.Sprintf(`(() => {
		const input = document.querySelector('#word');
		input.value = %s;
		input.dispatchEvent(new Event('input'));
		return document.querySelector('#found').textContent;
	})()`, quote(typed[len(typed)-1]))); !strings.HasPrefix(found, "Not found in ") {
		t.Errorf("the page says of a word that was typed: %s", found)
	}
}

// TestAnInputMethodIsNotDisturbed has Bob compose a syllable while Alice writes.
// What she writes has to wait until he is done.
func TestAnInputMethodIsNotDisturbed(t *testing.T) {
	p := openPage(t, newKeyhint(t), refusedKeys)
	before := p.sameText(1)
	p.selectText("Bob", 0, 0)
	for _, text := range []string{"ㅎ", "하", "한"} {
		call(p, input.ImeSetComposition, input.ImeSetCompositionParams{Text: text, SelectionStart: 1, SelectionEnd: 1})
	}
	p.await("Alice sees it grow", inFrame("Alice", "textarea")+".value.startsWith('한')")
	// Alice writes without taking the focus away.
	evaluate[bool](p, `(() => {
		const text = `+inFrame("Alice", "textarea")+`;
		text.value += 'meanwhile';
		text.dispatchEvent(new Event('input'));
		return true;
	})()`)
	p.await("the relay has it all", `parseInt(document.querySelector('#summary').textContent) === 5`)
	// By the time that he has an answer from keyhint, what she wrote has arrived.
	evaluate[bool](p, `(document.querySelector('.story').remove(), document.querySelector('[data-step=elsewhere] button').click(), true)`)
	p.ended()
	if got, want := p.text("Bob"), "한"+before; got != want {
		t.Errorf("while he composes, Bob has %q, want %q", got, want)
	}
	p.insert("한") // ends the composition
	if got, want := p.sameText(5), "한"+before+"meanwhile"; got != want {
		t.Errorf("in the end there is %q, want %q", got, want)
	}
}

// contains looks for a text in UTF-8 and UTF-16.
func contains(all, text string) bool {
	wide := strings.Join(strings.Split(text, ""), "\x00")
	return strings.Contains(all, text) || strings.Contains(all, wide)
}

func randomWord(random *rand.Rand) string {
	letters := make([]byte, 6+random.IntN(6))
	for i := range letters {
		letters[i] = byte('a' + random.IntN(26))
	}
	return string(letters)
}
