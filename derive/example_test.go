package derive_test

import (
	"crypto/rand"
	"fmt"
	"time"

	"keyhint/derive"
)

// The example of README.
func Example() {
	master, _ := derive.GenerateSecret(rand.Reader)
	salt, _ := derive.GenerateSecret(rand.Reader)
	ring, err := derive.NewKeyring([]derive.Entry{{
		Version: 1, MasterKey: master, SaltKey: salt, Check: derive.NewCheckValue(1, master, salt),
	}})

	doc := derive.Document{ID: "doc-1"}
	key, hint, err := ring.Issue(doc, time.Now(), rand.Reader)
	issued := key

	hint, err = derive.ParseHint(hint.String())
	key, err = ring.Resolve(hint, doc, time.Now(), 0)

	fmt.Println(key.Equal(issued), err)
	// Output: true <nil>
}
