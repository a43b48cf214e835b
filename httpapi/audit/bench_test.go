package audit_test

import (
	"crypto/rand"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keyhint/derive"
	"keyhint/httpapi/audit"
)

// BenchmarkAudit writes records to a file from one goroutine, and from 64 for
// each core, without fsync and with it; and, to compare, lines of the same length
// without an audit log, by one write each.
func BenchmarkAudit(b *testing.B) {
	path := filepath.Join(b.TempDir(), "audit.log")
	record := sampleRecord(b)
	log := open(b, audit.Options{Sink: path})
	if err := log.Write(record); err != nil {
		b.Fatal(err)
	}
	line := []byte(read(b, path))
	plain, err := os.OpenFile(filepath.Join(b.TempDir(), "plain.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	synced := open(b, audit.Options{Sink: filepath.Join(b.TempDir(), "synced.log"), Fsync: true})
	for _, w := range []struct {
		name  string
		write func() error
	}{
		{"plain", func() error { _, err := plain.Write(line); return err }},
		{"log", func() error { return log.Write(record) }},
		{"plain-fsync", func() error { plain.Write(line); return plain.Sync() }},
		{"log-fsync", func() error { return synced.Write(record) }},
	} {
		b.Run(w.name+"/one", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := w.write(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(w.name+"/many", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := w.write(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	record := sampleRecord(b)
	buffer := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buffer = audit.Append(buffer[:0], record)
	}
}

func sampleRecord(t testing.TB) audit.Record {
	t.Helper()
	var secrets [2]derive.Secret
	for i := range secrets {
		var err error
		if secrets[i], err = derive.GenerateSecret(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	entry := derive.Entry{Version: 1, MasterKey: secrets[0], SaltKey: secrets[1], Check: derive.NewCheckValue(1, secrets[0], secrets[1])}
	ring, err := derive.NewKeyring([]derive.Entry{entry})
	if err != nil {
		t.Fatal(err)
	}
	doc := derive.Document{Namespace: "tenant", ID: "doc-1"}
	_, hint, err := ring.Issue(doc, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Record{
		Kind: audit.Request, Time: time.Now(), RequestID: rand.Text(), Client: netip.MustParseAddr("192.0.2.7"), Subject: "alice",
		Document: doc, Operation: "issue", Hint: hint, Status: 200,
	}
}

func open(t testing.TB, o audit.Options) *audit.Log {
	t.Helper()
	log, err := audit.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
