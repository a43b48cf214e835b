package derive_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"testing"
)

func TestSecretMAC(t *testing.T) {
	secret := newSecret(t)
	key, err := base64.StdEncoding.DecodeString(secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for size := range 3 * sha256.BlockSize {
		message := make([]byte, size)
		want := hmac.New(sha256.New, key)
		want.Write(message)
		if got := secret.MAC(message); !hmac.Equal(got[:], want.Sum(nil)) {
			t.Errorf("the MAC of %d bytes is wrong", size)
		}
	}
	if clone := secret.Clone(); !clone.Equal(secret) {
		t.Error("a clone is another secret")
	} else if clone.Wipe(); secret.Reveal() != base64.StdEncoding.EncodeToString(key) {
		t.Error("wiping a clone has changed the secret")
	}
}
