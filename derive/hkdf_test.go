package derive

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/go-json-experiment/json"
)

// The published cases go through extract and expand, which everything in this
// package derives with.
func hkdfSHA256(t *testing.T, ikm, salt, info []byte, size int) (out []byte, refused bool) {
	t.Helper()
	defer func() {
		if recover() != nil {
			refused = true
		}
	}()
	out = make([]byte, size)
	expand(out, extract(salt, ikm), info)
	return out, false
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
			got, refused := hkdfSHA256(t, unhex(t, c.IKM), unhex(t, c.Salt), unhex(t, c.Info), c.Size)
			switch {
			case c.Result == "invalid" && !refused:
				t.Errorf("case %d (%s): not refused", c.TcID, c.Comment)
			case c.Result == "valid" && (refused || !bytes.Equal(got, unhex(t, c.OKM))):
				t.Errorf("case %d (%s): wrong output", c.TcID, c.Comment)
			case c.Result != "valid" && c.Result != "invalid":
				t.Errorf("case %d: result %q", c.TcID, c.Result)
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
		prk := extract(unhex(t, c.salt), unhex(t, c.ikm))
		if got := hex.EncodeToString(prk); got != c.prk {
			t.Errorf("%s: PRK %s", c.name, got)
		}
		okm := make([]byte, len(c.okm)/2)
		expand(okm, prk, unhex(t, c.info))
		if got := hex.EncodeToString(okm); got != c.okm {
			t.Errorf("%s: OKM %s", c.name, got)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
