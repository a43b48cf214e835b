package derive

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofrs/uuid/v5"
)

// vectorFile is the shape of testdata/vectors/kh1.json; its README explains it.
type vectorFile struct {
	Suite           string                   `json:"suite"`
	Comment         string                   `json:"comment"`
	NumberOfValid   int                      `json:"numberOfValid"`
	NumberOfRefused int                      `json:"numberOfRefused"`
	Valid           []validVector            `json:"valid"`
	Rings           map[string][]vectorEntry `json:"rings"`
	Refused         []refusedVector          `json:"refused"`
}

type validVector struct {
	ID         int    `json:"id"`
	Comment    string `json:"comment"`
	Version    uint32 `json:"version"`
	MasterKey  string `json:"masterKey"`
	SaltKey    string `json:"saltKey"`
	Reference  string `json:"reference"`
	Namespace  string `json:"namespace"`
	DocumentID string `json:"documentId"`
	Salt       string `json:"salt"`
	Key        string `json:"key"`
	Tag        string `json:"tag"`
	Check      string `json:"check"`
	Hint       string `json:"hint"`
}

type vectorEntry struct {
	Version   uint32 `json:"version"`
	MasterKey string `json:"masterKey"`
	SaltKey   string `json:"saltKey"`
	Check     string `json:"check"`
	Status    string `json:"status"`
}

type refusedVector struct {
	ID         int    `json:"id"`
	Comment    string `json:"comment"`
	Ring       string `json:"ring"`
	Namespace  string `json:"namespace"`
	DocumentID string `json:"documentId"`
	Now        int64  `json:"now"`    // Unix milliseconds
	MaxAge     int64  `json:"maxAge"` // milliseconds
	Hint       string `json:"hint"`
	Error      string `json:"error"`
}

func loadVectors(t testing.TB) vectorFile {
	t.Helper()
	data, err := os.ReadFile("../testdata/vectors/kh1.json")
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(data, &f, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	if f.Suite != suite {
		t.Fatalf("the vectors are of suite %q", f.Suite)
	}
	if len(f.Valid) < 60 || len(f.Valid) != f.NumberOfValid {
		t.Fatalf("%d valid cases, %d declared, at least 60 wanted", len(f.Valid), f.NumberOfValid)
	}
	if len(f.Refused) < 80 || len(f.Refused) != f.NumberOfRefused {
		t.Fatalf("%d refused cases, %d declared, at least 80 wanted", len(f.Refused), f.NumberOfRefused)
	}
	return f
}

func TestValidVectors(t *testing.T) {
	for _, v := range loadVectors(t).Valid {
		e := Entry{Version: v.Version, MasterKey: mustSecret(t, v.MasterKey), SaltKey: mustSecret(t, v.SaltKey)}
		e.Check = NewCheckValue(e.Version, e.MasterKey, e.SaltKey)
		if got := e.Check.String(); got != v.Check {
			t.Errorf("case %d (%s): check value %s, want %s", v.ID, v.Comment, got, v.Check)
		}
		id, err := uuid.FromString(v.Reference)
		if err != nil {
			t.Fatalf("case %d: %v", v.ID, err)
		}
		doc := Document{Namespace: v.Namespace, ID: v.DocumentID}
		if err := doc.Validate(); err != nil {
			t.Errorf("case %d (%s): %v", v.ID, v.Comment, err)
		}
		ref := Reference(id)
		var salt [sha256.Size]byte
		sessionSalt(&salt, e.SaltKey, ref)
		if got := hex.EncodeToString(salt[:]); got != v.Salt {
			t.Errorf("case %d (%s): salt %s, want %s", v.ID, v.Comment, got, v.Salt)
		}
		key, hint := e.seal(ref, doc)
		if got := key.Reveal(); got != v.Key {
			t.Errorf("case %d (%s): key %s, want %s", v.ID, v.Comment, got, v.Key)
		}
		if got := hex.EncodeToString(hint.tag[:]); got != v.Tag {
			t.Errorf("case %d (%s): tag %s, want %s", v.ID, v.Comment, got, v.Tag)
		}
		if got := hint.String(); got != v.Hint {
			t.Errorf("case %d (%s): hint %s, want %s", v.ID, v.Comment, got, v.Hint)
		}
		if parsed, err := ParseHint(v.Hint); err != nil || parsed != hint {
			t.Errorf("case %d (%s): parsing the hint gives %v, %v", v.ID, v.Comment, parsed, err)
		}
		// No ring reaches version 2^32-1 from 1, so this one is put together by hand.
		ring := &Keyring{byID: map[entryID]*Entry{e.id(): &e}, highest: e.Version}
		if resolved, err := ring.Resolve(hint, doc, ref.Time(), time.Millisecond); err != nil || !resolved.Equal(key) {
			t.Errorf("case %d (%s): resolving gives another key or an error: %v", v.ID, v.Comment, err)
		}
	}
}

func TestRefusedVectors(t *testing.T) {
	refusals := map[string]error{
		"malformed-hint":      ErrMalformedHint,
		"unknown-version":     ErrUnknownVersion,
		"unknown-fingerprint": ErrUnknownFingerprint,
		"disabled":            ErrDisabled,
		"destroyed":           ErrDestroyed,
		"tag-mismatch":        ErrTagMismatch,
		"expired":             ErrExpired,
	}
	f := loadVectors(t)
	rings := make(map[string]*Keyring)
	for name, entries := range f.Rings {
		rings[name] = vectorRing(t, entries)
	}
	for _, v := range f.Refused {
		ring := rings[v.Ring]
		if ring == nil {
			t.Errorf("case %d: no ring %q", v.ID, v.Ring)
			continue
		}
		hint, err := ParseHint(v.Hint)
		var key Key
		if err == nil {
			doc := Document{Namespace: v.Namespace, ID: v.DocumentID}
			key, err = ring.Resolve(hint, doc, time.UnixMilli(v.Now), time.Duration(v.MaxAge)*time.Millisecond)
		}
		if want := refusals[v.Error]; want == nil || !errors.Is(err, want) {
			t.Errorf("case %d (%s): error %v, want %s", v.ID, v.Comment, err, v.Error)
		}
		if !key.IsZero() {
			t.Errorf("case %d (%s): a key came with the refusal", v.ID, v.Comment)
		}
	}
}

func vectorRing(t *testing.T, list []vectorEntry) *Keyring {
	t.Helper()
	var entries []Entry
	for _, v := range list {
		status, err := ParseStatus(v.Status)
		if err != nil {
			t.Fatal(err)
		}
		check, err := ParseCheckValue(v.Check)
		if err != nil {
			t.Fatal(err)
		}
		e := Entry{Version: v.Version, Check: check, Status: status}
		if status != Destroyed {
			e.MasterKey, e.SaltKey = mustSecret(t, v.MasterKey), mustSecret(t, v.SaltKey)
		}
		entries = append(entries, e)
	}
	ring, err := NewKeyring(entries)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func mustSecret(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKnownAnswerIsGolden(t *testing.T) {
	v := loadVectors(t).Valid[1]
	got := []string{knownMasterKey, knownSaltKey, knownNamespace, knownDocumentID, knownCheck, knownHint, knownKey}
	for i, want := range []string{v.MasterKey, v.SaltKey, v.Namespace, v.DocumentID, v.Check, v.Hint, v.Key} {
		if got[i] != want {
			t.Errorf("known answer part %d is %q, golden is %q", i, got[i], want)
		}
	}
	if v.ID != 2 || v.Version != 1 {
		t.Errorf("the known answer is of case %d, version %d", v.ID, v.Version)
	}
}

func TestSelfTestFailsOnAnyWrongByte(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]*string{
		"master key": &knownMasterKey, "salt key": &knownSaltKey, "namespace": &knownNamespace,
		"document id": &knownDocumentID, "check": &knownCheck, "hint": &knownHint, "key": &knownKey,
	} {
		right := *part
		wrong := []byte(right)
		wrong[0] ^= 1
		*part = string(wrong)
		if SelfTest() == nil {
			t.Errorf("a wrong %s passes", name)
		}
		*part = right
	}
}

func TestSizesOfTextForms(t *testing.T) {
	for _, v := range loadVectors(t).Valid {
		if n := len(v.Hint); n > MaxHintSize {
			t.Errorf("case %d: the hint has %d characters", v.ID, n)
		}
		if n := len(v.Key); n != base64.RawURLEncoding.EncodedLen(32) {
			t.Errorf("case %d: the key has %d characters", v.ID, n)
		}
	}
}
