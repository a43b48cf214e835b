package derive_test

import (
	"crypto/rand"
	"testing"
	"time"

	"keyhint/derive"
)

// Keys of a wiped ring would be made of zeros, which everyone has.
func TestWipedRingMakesNoKey(t *testing.T) {
	entries := []derive.Entry{newEntry(t, 1), newEntry(t, 2)}
	ring, doc := newKeyring(t, entries...), derive.Document{ID: "doc"}
	_, hint := issue(t, ring, doc, time.Now())
	fingerprint := ring.Fingerprint()

	ring.Wipe()
	if key, _, err := ring.Issue(doc, time.Now(), rand.Reader); err == nil || !key.IsZero() {
		t.Error("it issues")
	}
	if key, err := ring.Resolve(hint, doc, time.Now(), 0); err == nil || !key.IsZero() {
		t.Error("it resolves")
	}
	if primary, err := ring.Primary(time.Now()); err != nil || primary.Version != 2 || ring.Fingerprint() != fingerprint {
		t.Error("what is public about it has changed")
	}
	for _, e := range entries {
		for _, s := range []derive.Secret{e.MasterKey, e.SaltKey} {
			if s.Reveal() != "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" {
				t.Error("a secret is there")
			}
		}
	}
	ring.Wipe()
	derive.Secret{}.Wipe()
	derive.Key{}.Wipe()
}

func TestWipedKeyIsGone(t *testing.T) {
	key, _ := issue(t, newKeyring(t, newEntry(t, 1)), derive.Document{ID: "doc"}, time.Now())
	copied := key
	key.Wipe()
	if copied.Reveal() != "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" {
		t.Error("it is there")
	}
}

func TestParseSecretLeavesItsInput(t *testing.T) {
	text := newEntry(t, 1).MasterKey.Reveal()
	b := []byte(text)
	secret, err := derive.ParseSecret(b)
	if err != nil || string(b) != text {
		t.Fatal(err)
	}
	clear(b)
	if secret.Reveal() != text {
		t.Error("the secret is not a copy")
	}
}
