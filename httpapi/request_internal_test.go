package httpapi

import (
	"strings"
	"testing"
)

const plainHint = "kh1.1-2b1f9d63.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw"

var plainBodies = []string{
	`{"documentId":"doc-1","keyHint":null}`, `{"documentId":"a b{}[]:,'~","keyHint":"` + plainHint + `"}`, `{"documentId":"","keyHint":""}`,
}

// checkPlain fails if a body is read in one way plainly and in another strictly.
func checkPlain(t *testing.T, body string) (plain bool) {
	t.Helper()
	request, plain := decodePlain(body)
	if !plain {
		return false
	}
	strict, err := decodeStrictly([]byte(body))
	if err != nil || strict != request {
		t.Errorf("%q is %+v, and strictly %+v, %v", body, request, strict, err)
	}
	return true
}

func TestPlainBodiesMeanTheSameStrictly(t *testing.T) {
	for _, body := range plainBodies {
		if !checkPlain(t, body) {
			t.Errorf("%s is not plain", body)
		}
		// Every body with one byte changed, inserted or left out, or two swapped.
		for at := range body {
			checkPlain(t, body[:at])
			checkPlain(t, body[:at]+body[at+1:])
			checkPlain(t, body[:at]+body[at:]+body[at:])
			for c := range 256 {
				checkPlain(t, body[:at]+string([]byte{byte(c)})+body[at+1:])
				checkPlain(t, body[:at]+string([]byte{byte(c)})+body[at:])
			}
			for other := range at {
				b := []byte(body)
				b[at], b[other] = b[other], b[at]
				checkPlain(t, string(b))
			}
		}
	}
	for _, body := range []string{
		`{"documentId":"é","keyHint":null}`, `{"documentId":"\u0061","keyHint":null}`, `{"documentId":"a","keyHint":nul}`, `{"documentId":"a","keyHint":null}}`,
		`{"documentId":"a","keyHint":null,"keyHint":null}`, `{"documentId":"a","documentId":"b","keyHint":null}`, `{"documentId":"a","keyHint":"b","x":"c"}`,
		`{"documentId":"a","KeyHint":null}`, `{"keyHint":null,"documentId":"a"}`, `{"documentId": "a","keyHint":null}`, "{\"documentId\":\"a\x7f\",\"keyHint\":null}",
		`{"documentId":"a","keyHint":null} `, `{"documentId":"a"}`, `{"documentId":null,"keyHint":null}`, strings.Replace(plainBodies[1], "kh1", `k\"1`, 1),
	} {
		if checkPlain(t, body) {
			t.Errorf("%s is plain", body)
		}
	}
}

func FuzzPlainBodiesMeanTheSameStrictly(f *testing.F) {
	for _, body := range plainBodies {
		if _, plain := decodePlain(body); !plain {
			f.Fatalf("%s is not plain", body)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) { checkPlain(t, body) })
}
