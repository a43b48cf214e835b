package config_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"keyhint/config"
)

func TestLoadRefusesAudit(t *testing.T) {
	one := newEntry(t, 1)
	t.Setenv("DOCUMENT_KEY", one.get("master_key"))
	for _, c := range []refused{
		{"relative path", ring(one) + "audit: {sink: audit.log}\n",
			"keyhint.yaml: line 9: audit.sink is not a sink: write stdout, none, or the absolute path of a file"},
		{"no sink", ring(one) + "audit: {sink: \"\"}\n",
			"keyhint.yaml: line 9: audit.sink is not a sink: write stdout, none, or the absolute path of a file"},
		{"fsync of stdout", ring(one) + "audit: {fsync: true}\n",
			"keyhint.yaml: line 9: audit.fsync is for a file: write its path as audit.sink, or remove this"},
		{"fsync of nothing", ring(one) + "audit: {sink: none, fsync: true}\n",
			"keyhint.yaml: line 9: audit.fsync is for a file: write its path as audit.sink, or remove this"},
		{"short document key", ring(one) + "audit:\n  document_key: c2VjcmV0\n",
			"keyhint.yaml: line 10: audit.document_key is 8 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		{"missing file", ring(one) + "audit:\n  document_key: file:///nowhere/key\n",
			"keyhint.yaml: line 10: audit.document_key names a file that cannot be read: no such file or directory"},
		{"a secret of the ring", ring(one) + "audit:\n  document_key: " + one.get("salt_key") + "\n",
			"keyhint.yaml: line 10: audit.document_key is the same secret as salt_key of keys[0] (version 1): every secret stands once; make a new one with openssl rand -base64 32"},
		{"the same behind a variable", ring(one) + "audit:\n  document_key: env://DOCUMENT_KEY\n",
			"keyhint.yaml: line 10: audit.document_key is the same secret as master_key of keys[0] (version 1): every secret stands once; make a new one with openssl rand -base64 32"},
	} {
		c.check(t)
	}
}

// Records in a file that is read for something else would be its end.
func TestLoadRefusesAnAuditFileWithAnotherUse(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	one := newEntry(t, 1)
	writeFile(t, "master", one.get("master_key"), 0o600)
	if err := os.Symlink(dir, "link"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sink, more, is string }{
		{"keyhint.yaml", "", "keyhint.yaml"},
		{"link/keyhint.yaml", "", "keyhint.yaml"},
		{"master", "", "$DIR/master"},
		{"ledger", "  ledger_file: " + dir + "/ledger\n", "$DIR/ledger"},
	} {
		text := ring(one.with("master_key", "file://"+dir+"/master")) + c.more + "audit: {sink: " + dir + "/" + c.sink + "}\n"
		writeFile(t, "keyhint.yaml", text, 0o600)
		checkRefusal(t, "keyhint.yaml", nil, fmt.Sprintf("keyhint.yaml: line %d: audit.sink is %s, which is not only for records: name another file", strings.Count(text, "\n"), c.is))
	}
}

func TestDocumentKeyMakesTheConfigurationSecret(t *testing.T) {
	t.Chdir(t.TempDir())
	one := newEntry(t, 1)
	t.Setenv("MASTER", one.get("master_key"))
	t.Setenv("SALT", one.get("salt_key"))
	text := ring(one.with("master_key", "env://MASTER").with("salt_key", "env://SALT"))
	writeFile(t, "keyhint.yaml", text, 0o644)
	if _, err := config.Load("keyhint.yaml", nil); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "keyhint.yaml", text+"audit:\n  document_key: "+documentKeys[0]+"\n", 0o644)
	checkRefusal(t, "keyhint.yaml", nil, "keyhint.yaml: holds secrets and can be read by everyone on this machine: run chmod o= keyhint.yaml")
}

// A document key in a file of its own is followed like everything else.
func TestReloadFollowsTheDocumentKey(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	writeFile(t, "key", documentKeys[0], 0o600)
	c := mustLoadHere(t, ring(newEntry(t, 1))+"audit:\n  document_key: file://"+dir+"/key\n")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	applied := make(chan string, 1)
	reloader := config.NewReloader(c, nil, func(next *config.Config) error {
		applied <- next.Audit.DocumentKey.Reveal()
		return nil
	}, slog.New(slog.DiscardHandler))
	signals := make(chan os.Signal, 1)
	go reloader.Run(ctx, signals)
	writeFile(t, "key", documentKeys[1], 0o600)
	signals <- os.Interrupt
	select {
	case key := <-applied:
		if key != documentKeys[1] {
			t.Errorf("the document key is %s", key)
		}
	case <-time.After(20 * time.Second):
		t.Error("it is not applied")
	}
}
