package audit

import (
	"encoding/binary"
	"encoding/hex"

	"keyhint/derive"
)

// DocumentID is the pseudonym of a document in a log with a document key:
//
//	HMAC-SHA-256(key, lp(namespace) || lp(document id))
//
// in lower-case hex, 64 digits, where lp(x) is the length of x in bytes as 4
// bytes, big-endian, and x. One document has one pseudonym under one key, and
// whoever has the key can find a document's records but not read an id from one.
func DocumentID(key derive.Secret, doc derive.Document) string {
	message := make([]byte, 0, 4+len(doc.Namespace)+4+len(doc.ID))
	for _, part := range []string{doc.Namespace, doc.ID} {
		message = binary.BigEndian.AppendUint32(message, uint32(len(part)))
		message = append(message, part...)
	}
	mac := key.MAC(message)
	return hex.EncodeToString(mac[:])
}
