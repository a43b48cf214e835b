package derive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// The known answer: case 2 of testdata/vectors/kh1.json. These are variables so
// that a test can build a program that gets them wrong.
var (
	knownMasterKey  = "ei0Nmmbc3fQBX45Lo4PsEPH7OGUCBIX/vIpdSWOwiI8="
	knownSaltKey    = "VnCl/zIs6dweUEL1HHc8lUSnCLvWAhMwnEqfzVkNFXQ="
	knownNamespace  = "tenant-a"
	knownDocumentID = "doc"
	knownCheck      = "1-58ac616e25b34be8"
	knownHint       = "kh1.1-58ac616e.0199049c-a9c0-7b40-bf5f-cc44b66f7525.KmE6u4pglSNg8-EQUnAAKw"
	knownKey        = "KZxWMPWsly_gookdTk01Xl-YQ0gBd-wH7wZb2xvZAyA"
)

// SelfTest resolves one known hint and compares every byte that the suite
// derives with golden values, and derives with HKDF as its reference does. Run
// it once before serving: if it fails, this build on this machine derives keys
// that nobody else could recompute.
func SelfTest() error {
	if err := selfTest(); err != nil {
		return fmt.Errorf("known-answer test of suite %s: %w", suite, err)
	}
	return nil
}

func selfTest() error {
	master, err := ParseSecret(knownMasterKey)
	if err != nil {
		return err
	}
	salt, err := ParseSecret(knownSaltKey)
	if err != nil {
		return err
	}
	check := NewCheckValue(1, master, salt)
	if check.String() != knownCheck {
		return errors.New("wrong check value")
	}
	ring, err := NewKeyring([]Entry{{Version: 1, MasterKey: master, SaltKey: salt, Check: check}})
	if err != nil {
		return err
	}
	hint, err := ParseHint(knownHint)
	if err != nil {
		return err
	}
	key, err := ring.Resolve(hint, Document{Namespace: knownNamespace, ID: knownDocumentID}, time.Time{}, 0)
	if err != nil {
		return err
	}
	if key.Reveal() != knownKey {
		return errors.New("wrong key")
	}
	return compareWithReference(master, salt)
}

// compareWithReference lets messages end anywhere in a block of SHA-256, which
// one known answer does not.
func compareWithReference(master, salt Secret) error {
	var got, want, prk [sha256.Size]byte
	extract(&prk, salt.bytes(), master.bytes())
	extractReference(&want, salt.bytes(), master.bytes())
	if prk != want {
		return errors.New("HKDF-Extract is wrong")
	}
	context := make([]byte, 2*sha256.BlockSize)
	for size := range context {
		expand(got[:], prk[:], labelKey, context[:size])
		expandReference(want[:], prk[:], labelKey, context[:size])
		if got != want {
			return fmt.Errorf("HKDF-Expand is wrong for a context of %d bytes", size)
		}
	}
	return nil
}
