package derive

import (
	"fmt"
	"unicode/utf8"
)

// Bounds of a [Document], in bytes of UTF-8.
const (
	MaxNamespaceSize  = 128
	MaxDocumentIDSize = 1024
)

// Document names what a session edits. Both strings are taken byte for byte:
// no normalisation, no case folding, and U+0000 is a character like any other.
type Document struct {
	Namespace string // separates tenants that share a ring; may be empty
	ID        string // chosen by the host application
}

// Validate returns an error that wraps [ErrInvalidDocument] if the id is empty,
// either string is too long, or either is not UTF-8.
func (d Document) Validate() error {
	switch {
	case d.ID == "":
		return fmt.Errorf("%w: the id is empty", ErrInvalidDocument)
	case len(d.ID) > MaxDocumentIDSize:
		return fmt.Errorf("%w: the id is %d bytes long, the maximum is %d", ErrInvalidDocument, len(d.ID), MaxDocumentIDSize)
	case !utf8.ValidString(d.ID):
		return fmt.Errorf("%w: the id is not UTF-8", ErrInvalidDocument)
	case len(d.Namespace) > MaxNamespaceSize:
		return fmt.Errorf("%w: the namespace is %d bytes long, the maximum is %d", ErrInvalidDocument, len(d.Namespace), MaxNamespaceSize)
	case !utf8.ValidString(d.Namespace):
		return fmt.Errorf("%w: the namespace is not UTF-8", ErrInvalidDocument)
	}
	return nil
}
