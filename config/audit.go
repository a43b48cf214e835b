package config

import (
	"os"
	"path/filepath"
	"slices"

	"keyhint/derive"
)

type auditSection struct {
	Sink        string       `mapstructure:"sink"`
	Fsync       bool         `mapstructure:"fsync"`
	DocumentKey secretSource `mapstructure:"document_key"`
}

// Audit says where records of decisions go.
type Audit struct {
	Sink        string        // AuditStdout, AuditNone, or the absolute path of a file
	Fsync       bool          // wait until the disk has each record
	DocumentKey derive.Secret // for pseudonyms of document ids; zero for none
}

// The audit sinks that are no files.
const (
	AuditStdout = "stdout"
	AuditNone   = "none"
)

// Equal tells whether two say the same.
func (a Audit) Equal(b Audit) bool {
	return a.Sink == b.Sink && a.Fsync == b.Fsync && a.DocumentKey.Equal(b.DocumentKey)
}

func (v *validation) audit(a auditSection) Audit {
	switch isFile := filepath.IsAbs(a.Sink); {
	case !isFile && a.Sink != AuditStdout && a.Sink != AuditNone:
		v.refuse("audit.sink", "is not a sink: write stdout, none, or the absolute path of a file")
	case a.Fsync && !isFile:
		v.refuse("audit.fsync", "is for a file: write its path as audit.sink, or remove this")
	}
	key, err := v.load(a.DocumentKey)
	if err != nil {
		v.refuse("audit.document_key", "%v", err)
	}
	if !key.IsZero() {
		mac := key.MAC(nil) // no check value stands for it
		v.inputs.Write(mac[:])
	}
	return Audit{Sink: a.Sink, Fsync: a.Fsync, DocumentKey: key}
}

// checkSink refuses a file that has another use. Records would be appended to it.
func (v *validation) checkSink(c *Config) {
	if !filepath.IsAbs(c.Audit.Sink) {
		return
	}
	sink, err := os.Stat(c.Audit.Sink)
	for _, used := range append(slices.Clone(c.Sources), c.Keyring.LedgerFile) {
		is := used == c.Audit.Sink // it may not be there yet
		if other, missing := os.Stat(used); err == nil && missing == nil {
			is = os.SameFile(sink, other)
		}
		if is {
			v.refuse("audit.sink", "is %s, which is not only for records: name another file", used)
			return
		}
	}
}

// checkDocumentKey refuses one that is a secret of an entry as well.
func (v *validation) checkDocumentKey(entries []derive.Entry) {
	if v.documentKey.IsZero() {
		return
	}
	for i, e := range entries {
		for _, s := range []struct {
			field  string
			secret derive.Secret
		}{{"master_key", e.MasterKey}, {"salt_key", e.SaltKey}} {
			if s.secret.Equal(v.documentKey) {
				v.refuse("audit.document_key", "is the same secret as %s of keys[%d] (version %d): every secret stands once; make a new one with openssl rand -base64 32", s.field, i, e.Version)
			}
		}
	}
}
