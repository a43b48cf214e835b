package derive

import (
	"bytes"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/go-json-experiment/json"
)

// Everything in this package derives with extract and expand, so the published
// cases go through these, and through both of what they choose from.
var implementations = []struct {
	name    string
	extract func(prk *[sha256.Size]byte, salt, secret []byte)
	expand  func(out, prk []byte, label string, context []byte)
}{
	{"chosen", extract, expand},
	{"in place", extractInPlace, expandInPlace},
	{"reference", extractReference, expandReference},
}

func TestWycheproofHKDF(t *testing.T) {
	data, err := wycheproof.TestVectors.Open("hkdf_sha256_test.json")
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	var file struct {
		NumberOfTests int `json:"numberOfTests"`
		TestGroups    []struct {
			Tests []struct {
				TcID    int    `json:"tcId"`
				Comment string `json:"comment"`
				IKM     string `json:"ikm"`
				Salt    string `json:"salt"`
				Info    string `json:"info"`
				Size    int    `json:"size"`
				OKM     string `json:"okm"`
				Result  string `json:"result"`
			} `json:"tests"`
		} `json:"testGroups"`
	}
	if err := json.UnmarshalRead(data, &file); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, group := range file.TestGroups {
		for _, c := range group.Tests {
			ran++
			for _, hkdf := range implementations {
				got := make([]byte, c.Size)
				refused := panics(func() {
					var prk [sha256.Size]byte
					hkdf.extract(&prk, unhex(t, c.Salt), unhex(t, c.IKM))
					info := unhex(t, c.Info)
					hkdf.expand(got, prk[:], string(info[:len(info)/2]), info[len(info)/2:])
				})
				switch {
				case c.Result == "invalid" && !refused:
					t.Errorf("case %d (%s), %s: not refused", c.TcID, c.Comment, hkdf.name)
				case c.Result == "valid" && (refused || !bytes.Equal(got, unhex(t, c.OKM))):
					t.Errorf("case %d (%s), %s: wrong output", c.TcID, c.Comment, hkdf.name)
				case c.Result != "valid" && c.Result != "invalid":
					t.Errorf("case %d: result %q", c.TcID, c.Result)
				}
			}
		}
	}
	if ran != file.NumberOfTests || ran < 80 {
		t.Errorf("ran %d cases, the file declares %d", ran, file.NumberOfTests)
	}
}

// RFC 5869, appendix A, the cases of SHA-256.
func TestRFC5869(t *testing.T) {
	for _, c := range []struct {
		name, ikm, salt, info, prk, okm string
	}{
		{
			"A.1", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
		},
		{
			"A.2",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
			"606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
			"b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
			"06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
			"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
		},
		{
			"A.3", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
			"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
		},
	} {
		for _, hkdf := range implementations {
			var prk [sha256.Size]byte
			hkdf.extract(&prk, unhex(t, c.salt), unhex(t, c.ikm))
			if got := hex.EncodeToString(prk[:]); got != c.prk {
				t.Errorf("%s, %s: PRK %s", c.name, hkdf.name, got)
			}
			okm := make([]byte, len(c.okm)/2)
			info := unhex(t, c.info)
			hkdf.expand(okm, prk[:], string(info[:len(info)/2]), info[len(info)/2:])
			if got := hex.EncodeToString(okm); got != c.okm {
				t.Errorf("%s, %s: OKM %s", c.name, hkdf.name, got)
			}
		}
	}
}

// compareHKDF tells of a difference between the two implementations.
func compareHKDF(t *testing.T, salt, secret []byte, label string, context []byte, size int) {
	t.Helper()
	if fips140.Enforced() && len(secret) < 14 {
		return // the reference does not take it
	}
	var prk, wantPRK [sha256.Size]byte
	extractInPlace(&prk, salt, secret)
	extractReference(&wantPRK, salt, secret)
	if prk != wantPRK {
		t.Errorf("extracting from %d bytes under %d of salt: %x, not %x", len(secret), len(salt), prk, wantPRK)
	}
	out, want := make([]byte, size), make([]byte, size)
	expandInPlace(out, prk[:], label, context)
	expandReference(want, prk[:], label, context)
	if !bytes.Equal(out, want) {
		t.Errorf("expanding %d bytes of label and %d of context to %d: %x, not %x", len(label), len(context), size, out, want)
	}
}

// All lengths at which HMAC and SHA-256 begin another block lie below 200.
func TestInPlaceEqualsReference(t *testing.T) {
	b := make([]byte, 200)
	rand.Read(b)
	for size := range b {
		compareHKDF(t, b[:size], b[size:], string(b[:size]), b, size)
		compareHKDF(t, b[size:], b[:size], labelKey, b[:size], sha256.Size)
		compareHKDF(t, b[:32], b[32:64], labelTag, b[:size], TagSize)
	}
	compareHKDF(t, b, b, labelKey, make([]byte, maxContextSize), 255*sha256.Size)
}

func FuzzInPlaceEqualsReference(f *testing.F) {
	f.Add([]byte(nil), []byte(nil), "", []byte(nil), uint16(0))
	f.Add(make([]byte, 32), make([]byte, 32), labelKey, make([]byte, maxContextSize), uint16(32))
	f.Add(make([]byte, 64), make([]byte, 32), labelTag, make([]byte, 43), uint16(16))
	f.Add(make([]byte, 65), make([]byte, 119), labelSalt, make([]byte, 16), uint16(8160))
	f.Fuzz(func(t *testing.T, salt, secret []byte, label string, context []byte, size uint16) {
		compareHKDF(t, salt, secret, label, context, int(size)%(255*sha256.Size+1))
	})
}

// Padded keys on the heap would stay there until the garbage collector comes.
func TestInPlaceStaysOffTheHeap(t *testing.T) {
	var prk [sha256.Size]byte
	salt, secret, context, out := make([]byte, 32), make([]byte, 32), make([]byte, maxContextSize), make([]byte, 32)
	if n := testing.AllocsPerRun(100, func() {
		extractInPlace(&prk, salt, secret)
		expandInPlace(out, prk[:], labelKey, context)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// In FIPS 140-3 mode all of the package's tests must pass as well.
func TestFIPSMode(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("is on")
	}
	command := exec.Command(os.Args[0], "-test.run=^Test", "-test.v")
	command.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := command.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFIPSModeDerivesWithTheModule")) {
		t.Errorf("%v: %s", err, out)
	}
}

// The module alone refuses keys below 112 bits, which tells whose HMAC it is.
func TestFIPSModeDerivesWithTheModule(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("with GODEBUG=fips140=only, as TestFIPSMode runs it")
	}
	short := make([]byte, 13)
	if !panics(func() { extract(new([sha256.Size]byte), nil, short) }) {
		t.Error("extracts without the module")
	}
	if !panics(func() { expand(make([]byte, 32), short, labelKey, nil) }) {
		t.Error("expands without the module")
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
