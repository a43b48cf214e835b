package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"keyhint/config"
	"keyhint/derive"
	"keyhint/httpapi"
	"keyhint/httpapi/audit"
)

func auditCommand() *cobra.Command {
	var file string
	id := &cobra.Command{
		Use:   "document-id ID",
		Short: "Print what stands for a document in the audit log",
		Long: `Print the document_id_hmac by which a document appears in the audit log, under
the audit.document_key and keyring.namespace of the configuration.`,
		Example: "  keyhint audit document-id doc-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := findConfig(file)
			if err != nil {
				return err
			}
			doc := derive.Document{Namespace: c.Keyring.Namespace, ID: args[0]}
			if err := doc.Validate(); err != nil {
				return &failure{exitFailed, err, "give the id exactly as the application sends it"}
			}
			if c.Audit.DocumentKey.IsZero() {
				return &failure{exitFailed, errors.New("audit.document_key is not set, so the log has document ids as they are"), "look for document_id there"}
			}
			return printed(fmt.Fprintln(command.OutOrStdout(), audit.DocumentID(c.Audit.DocumentKey, doc)))
		},
	}
	addConfigFlag(id, &file)
	parent := &cobra.Command{Use: "audit", Short: "Work with the audit log", Example: id.Example, Args: cobra.NoArgs, RunE: showHelp}
	parent.AddCommand(id)
	return parent
}

// recordRecovery puts the recovery of a key into the audit log, or on stderr
// if that is no file; stdout is for the key. The file must be there: one that this
// command made could belong to another user than the server's. refused is why
// there is no key, or nil.
func recordRecovery(c *config.Config, hint derive.Hint, documentID string, refused error) error {
	options := audit.Options{Sink: c.Audit.Sink, Existing: true, Fsync: c.Audit.Fsync, DocumentKey: c.Audit.DocumentKey}
	advice := "with KEYHINT_AUDIT_SINK=stdout the record goes to stderr"
	if options.Sink == config.AuditStdout || options.Sink == config.AuditNone {
		options.Sink, advice = audit.Stderr, "see where stderr leads"
	}
	record := audit.Record{
		Kind: audit.Command, Time: clock(), Subject: fmt.Sprintf("uid %d", os.Getuid()),
		Document: derive.Document{Namespace: c.Keyring.Namespace, ID: documentID}, Operation: "resolve", Hint: hint,
	}
	if record.Document.Validate() != nil {
		record.Document.ID = ""
	}
	if refused != nil {
		record.Problem = httpapi.ProblemType(refused)
	}
	log, err := audit.Open(options)
	if err == nil {
		defer log.Close()
		err = log.Write(record)
	}
	if err != nil {
		return &failure{exitFailed, fmt.Errorf("the audit record cannot be written, so there is no key: %w", err), advice}
	}
	return nil
}
