package devpage_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"keyhint/config"
)

// ask posts to the endpoint, past the page. The outcome is the key's fingerprint,
// as the page makes it, or the problem's type.
func (p *page) ask(documentID string, hint any) (outcome, newHint string) {
	p.Helper()
	body, err := json.Marshal(map[string]any{"documentId": documentID, "keyHint": hint})
	must(p, err)
	response, err := http.Post(p.url+"/v1/key", asJSON, strings.NewReader(string(body)))
	must(p, err)
	defer response.Body.Close()
	var answer struct{ Key, KeyHint, Type string }
	must(p, json.NewDecoder(response.Body).Decode(&answer))
	if answer.Key == "" {
		return strings.TrimPrefix(answer.Type, "urn:keyhint:"), ""
	}
	digest := sha256.Sum256([]byte("fingerprint " + answer.Key))
	return fmt.Sprintf("%x %x", digest[:2], digest[2:4]), answer.KeyHint
}

// list is what "keyhint keyring list --json" says of the file.
func (p *page) list() config.KeyringDescription {
	p.Helper()
	var list config.KeyringDescription
	must(p, json.Unmarshal([]byte(p.run("keyring", "list", "--json")), &list))
	return list
}

// hint is that of the session the editors are in, as the relay has it.
func (p *page) hint() string {
	p.Helper()
	return evaluate[string](p, `document.querySelector('#facts .hint').textContent`)
}

// key is the fingerprint that an editor shows.
func (p *page) key(name string) string {
	p.Helper()
	return strings.TrimPrefix(evaluate[string](p, inFrame(name, "#key")+".textContent"), "key ")
}

// timeline is how the ring's versions are drawn: the title, what is said of it, and its sessions.
func (p *page) timeline() []string {
	p.Helper()
	return evaluate[[]string](p, `Array.from(document.querySelectorAll('.version'), (version) => [
		version.querySelector('h3'), version.querySelector('.life'), ...version.querySelectorAll('.session')].map((node) => node.textContent.replace(/Reopen | (\d+ messages?|in the editors)$/g, '')).join(' | '))`)
}

// wants fails the test unless the step came out as a sentence that has all these parts.
func (s story) wants(t testing.TB, exchanges int, parts ...string) {
	t.Helper()
	if s.State != "shown" || len(s.Exchanges) != exchanges {
		t.Errorf("the step shows %+v, want %d exchanges", s, exchanges)
	}
	for _, part := range parts {
		if !strings.Contains(s.Verdict, part) {
			t.Errorf("the step says %q, want %q in it", s.Verdict, part)
		}
	}
}

// TestEveryStepDoesWhatItSays goes through all buttons, and asks the server and
// the command line whether it is true.
func TestEveryStepDoesWhatItSays(t *testing.T) {
	p := openPage(t, newKeyhint(t), refusedKeys)
	const document = "board-minutes"
	both := func(key string) {
		t.Helper()
		if alice, bob := p.key("Alice"), p.key("Bob"); alice != key || bob != key {
			t.Errorf("Alice has key %s and Bob %s, want %s", alice, bob, key)
		}
		if outcome, _ := p.ask(document, p.hint()); outcome != key {
			t.Errorf("keyhint answers the relay's hint with %s, want %s", outcome, key)
		}
	}

	// The first session was opened without a click.
	evaluate[story](p, readStory).wants(t, 2, p.key("Alice"))
	first := p.hint()
	both(p.key("Alice"))

	opened := p.step("open")
	opened.wants(t, 2, "Both hold key "+p.key("Alice"))
	if alice, bob := opened.Exchanges[0], opened.Exchanges[1]; alice.Who != "Alice" || bob.Who != "Bob" ||
		alice.Request != `{"documentId":"board-minutes","keyHint":null}` || bob.Request != `{"documentId":"board-minutes","keyHint":"`+p.hint()+`"}` ||
		alice.Key != bob.Key || !strings.Contains(alice.Answer, p.hint()) {
		t.Errorf("the exchanges are %+v", opened.Exchanges)
	}
	if p.hint() == first {
		t.Error("the session is the former one")
	}
	both(opened.Exchanges[0].Key)
	p.sameText(1)

	winners := make(map[string]bool)
	for range 4 {
		race := p.step("race")
		if race.wants(t, 4); t.Failed() {
			t.FailNow()
		}
		keys := map[string]string{}
		for i, e := range race.Exchanges[:2] {
			keys[e.Who] = e.Key
			if e.Who != names[i] || !strings.HasSuffix(e.Request, `"keyHint":null}`) {
				t.Errorf("at first %+v", e)
			}
		}
		again, own := race.Exchanges[2], race.Exchanges[3]
		loser, winner := again.Who, names[1-slices.Index(names, again.Who)]
		winners[winner] = true
		if keys["Alice"] == keys["Bob"] || again.Key != keys[winner] || own.Who != loser || own.Key != keys[loser] {
			t.Errorf("the race went %+v", race.Exchanges)
		}
		if !strings.Contains(again.Request, p.hint()) || !strings.Contains(race.Verdict, "Both are on "+winner+"’s key "+keys[winner]) {
			t.Errorf("the race ends with %q after %+v", race.Verdict, again)
		}
		both(keys[winner])
		if text := p.sameText(1); !strings.HasPrefix(text, "Hello "+loser) {
			t.Errorf("the session begins with %q", text)
		}
	}
	t.Logf("winners: %v", winners)

	key, hint := p.key("Bob"), p.hint()
	p.typeAtEnd("Bob", "written before the rotation")
	p.step("rotate").wants(t, 1, "Version 2 issues from now on.", "Session 6 still gets the key that version 1 gave it")
	if l := p.list(); len(l.Entries) != 2 || l.Primary != 2 || l.Entries[0].Status != "enabled" {
		t.Errorf("the file has the ring %+v", l)
	}
	if _, issued := p.ask(document, nil); !strings.HasPrefix(issued, "kh1.2-") {
		t.Errorf("keyhint issues %s", issued)
	}
	if p.hint() != hint {
		t.Error("the rotation has ended the session")
	}
	both(key)

	p.step("open").wants(t, 2)
	if got, want := p.timeline(), []string{"Version 1 | Still opens its sessions. | Session 1 | Session 2 | Session 3 | Session 4 | Session 5 | Session 6", "Version 2 | Issues new keys now. | Session 7"}; !slices.Equal(got, want) {
		t.Errorf("the time line is %q, want %q", got, want)
	}
	p.step("reopen", "6").wants(t, 2, "All 2 messages of session 6 opened. Version 1 issues no more")
	both(key)
	if text := p.sameText(2); !strings.Contains(text, "written before the rotation") {
		t.Errorf("the history is %q", text)
	}
	// The same from the time line, where the focus goes along.
	p.click(`[data-session="7"]`).wants(t, 2, "The one message of session 7 opened. keyhint had kept nothing")
	if focus := evaluate[string](p, `document.activeElement.className`); focus != "story" {
		t.Errorf("the focus is on %q", focus)
	}

	elsewhere := p.step("elsewhere")
	elsewhere.wants(t, 2, "Refused: a hint of board-minutes opens board-minutes and nothing else.")
	for _, e := range elsewhere.Exchanges {
		if e.Who != "Bob" || e.Status != "403" || !strings.Contains(e.Answer, "urn:keyhint:hint-mismatch") {
			t.Errorf("%+v", e)
		}
	}
	if !strings.Contains(elsewhere.Exchanges[0].Request, `"payroll"`) || !strings.Contains(elsewhere.Exchanges[1].Request, `"board-minutes"`) {
		t.Errorf("asked for %+v", elsewhere.Exchanges)
	}
	if outcome, _ := p.ask("payroll", p.hint()); outcome != "hint-mismatch" {
		t.Errorf("keyhint answers %s", outcome)
	}

	// Version 2 issues, so that another one has to take over.
	leaked := p.hint()
	disabled := p.step("disable", "2")
	disabled.wants(t, 3, "keyhint opens nothing of version 2 any more: Bob was refused session 7", "Work goes on in session 8 under version 3")
	if len(disabled.Notes) != 2 || !strings.Contains(disabled.Exchanges[0].Answer, "urn:keyhint:key-unavailable") || disabled.Exchanges[0].Status != "403" {
		t.Errorf("%+v", disabled)
	}
	if l := p.list(); len(l.Entries) != 3 || l.Primary != 3 || l.Entries[0].Status != "enabled" || l.Entries[1].Status != "disabled" {
		t.Errorf("the file has the ring %+v", l)
	}
	if outcome, _ := p.ask(document, leaked); outcome != "key-unavailable" {
		t.Errorf("keyhint answers the leaked version's hint with %s", outcome)
	}
	both(p.key("Alice"))
	// Version 1 does not issue: nothing has to come first, and the session goes on.
	p.step("disable", "1").wants(t, 1, "keyhint opens nothing of version 1 any more: Bob was refused session 6. The history is closed")
	if l := p.list(); len(l.Entries) != 3 || l.Entries[0].Status != "disabled" {
		t.Errorf("the file has the ring %+v", l)
	}
	p.sameText(1)
	p.step("reopen", "7").wants(t, 2, "Refused: version 2 is disabled, and with it the history of session 7.")
	for _, name := range names {
		if state := evaluate[string](p, inFrame(name, "#state")+".textContent"); !strings.HasPrefix(state, "Session 7 cannot be opened.") || p.text(name) != "" {
			t.Errorf("%s shows %q and %q", name, state, p.text(name))
		}
	}
	p.click(`[data-standing=disabled]:nth-child(2) .quiet`).wants(t, 1, "Version 2 opens its sessions again")
	if l := p.list(); l.Entries[1].Status != "enabled" || l.Primary != 3 {
		t.Errorf("the file has the ring %+v", l)
	}
	p.opened(7)
	p.sameText(1)

	// A change of the file by other means arrives as well.
	p.run("keyring", "set-status", "1", "enabled")
	p.await("the time line follows the file", `!document.querySelector('[data-standing=disabled]')`)

	p.click("#clear").wants(t, 2)
	p.sameText(1)
	if got := p.timeline(); len(got) != 3 || !strings.HasSuffix(got[2], " | Session 1") || strings.Contains(strings.Join(got[:2], ""), "Session") {
		t.Errorf("after clearing, the time line is %q", got)
	}
	if stored := evaluate[string](p, `probe.stored()`); strings.Count(stored, "kh1.") != 1 {
		t.Errorf("the relay has kept more than the new session: %d hints", strings.Count(stored, "kh1."))
	}
}

// TestNoStepSaysWhatIsNotSo has the server give answers that it never gives, and
// the relay other bytes than it was sent.
func TestNoStepSaysWhatIsNotSo(t *testing.T) {
	p := openPage(t, newKeyhint(t), "error: Failed to load resource")
	const json200 = `new Response(JSON.stringify(%s), { headers: { 'Content-Type': 'application/json' } })`
	key := func(letter string) string { return strings.Repeat(letter, 43) }
	unexpected := func(what, step, answer string, parts ...string) {
		t.Helper()
		evaluate[bool](p, `(probe.answer = (url, body) => { body = JSON.parse(body ?? 'null'); `+answer+` }, true)`)
		s := p.step(step)
		evaluate[bool](p, `(probe.answer = null, true)`)
		if s.State != "unexpected" || !strings.HasPrefix(s.Verdict, "Not as expected. ") {
			t.Errorf("%s: %+v", what, s)
		}
		for _, part := range parts {
			if !strings.Contains(s.Verdict, part) {
				t.Errorf("%s: the step says %q, want %q in it", what, s.Verdict, part)
			}
		}
	}
	unexpected("a hint that opens another document", "elsewhere",
		`if (body?.documentId === 'payroll') return `+fmt.Sprintf(json200, `{ key: '`+key("k")+`', keyHint: body.keyHint }`), "keyhint answered 200")
	unexpected("a changed hint that opens", "elsewhere",
		`if (body?.documentId === 'board-minutes') return `+fmt.Sprintf(json200, `{ key: '`+key("k")+`', keyHint: body.keyHint }`), "keyhint answered 200")
	unexpected("a refusal for another reason", "elsewhere",
		`if (body?.documentId === 'payroll') return Response.json({ type: 'urn:keyhint:access-denied' }, { status: 403, headers: { 'Content-Type': 'application/problem+json' } })`, "access-denied")
	unexpected("one key for two sessions", "race",
		`if (body?.keyHint === null) return `+fmt.Sprintf(json200, `{ key: '`+key("k")+`', keyHint: 'kh1.1-00000000.x.' + Math.random() }`), "same key")
	unexpected("a session's hint that gives another key", "open",
		`if (body?.keyHint) return `+fmt.Sprintf(json200, `{ key: '`+key("k")+`', keyHint: body.keyHint }`), "Bob could not join")
	p.step("open").wants(t, 2)
	unexpected("a hint that gives another key after a rotation", "rotate",
		`if (body?.keyHint) return `+fmt.Sprintf(json200, `{ key: '`+key("k")+`', keyHint: body.keyHint }`), "does not get its key any more")
	unexpected("a version that cannot be added", "rotate",
		`if (url.endsWith('/versions')) return Response.json({ detail: 'The disk is full.' }, { status: 500 })`, "The disk is full.")
	unexpected("a disabled version that still opens", "disable",
		`if (body?.keyHint) return `+fmt.Sprintf(json200, `{ key: '`+key("k")+`', keyHint: body.keyHint }`), "keyhint answered 200")

	// One bit of one message is another.
	p.step("open").wants(t, 2)
	number := evaluate[int](p, `document.querySelectorAll('.session').length`)
	p.typeAtEnd("Alice", "the original")
	p.sameText(2)
	evaluate[bool](p, `new Promise((resolve) => {
		indexedDB.open('keyhint-dev').onsuccess = ({ target: { result: database } }) => {
			const transaction = database.transaction('records', 'readwrite');
			transaction.objectStore('records').openCursor(null, 'prev').onsuccess = ({ target: { result: cursor } }) => {
				cursor.value.data[5] ^= 1;
				cursor.update(cursor.value);
			};
			transaction.oncomplete = () => { database.close(); resolve(true); };
		};
	})`)
	p.visit()
	for _, name := range names {
		p.await(name+" refuses the message", inFrame(name, "#state")+`.textContent.includes('not what was sent')`)
		if state := evaluate[string](p, inFrame(name, "#state")+".textContent"); !strings.HasPrefix(state, fmt.Sprintf("Session %d cannot be opened", number)) || p.text(name) != "" {
			t.Errorf("%s shows %q and %q", name, state, p.text(name))
		}
	}
	p.step("open").wants(t, 2)
}
