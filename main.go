// Command keyhint is an encryption-key endpoint for real-time collaborative
// editors. This file is its command line: it parses, calls and prints.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"keyhint/config"
	"keyhint/derive"
	"keyhint/httpapi"
	"keyhint/httpapi/audit"
	"keyhint/httpapi/bench"
	"keyhint/httpapi/devpage"
	"keyhint/httpapi/listen"
	"keyhint/httpapi/memory"
	"keyhint/httpapi/service"
)

// Exit codes, as the help of the root command lists them.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

// failure is an error of a command that was called correctly.
type failure struct {
	code int
	err  error
	hint string // what to do about it
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// clock is the time for everything that depends on it; tests set it.
var clock = time.Now

func main() { os.Exit(run()) }

func run() int {
	root := rootCommand()
	called, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	f := &failure{exitUsage, err, fmt.Sprintf("%q shows how to call it", called.CommandPath()+" --help")}
	errors.As(err, &f)
	fmt.Fprintf(os.Stderr, "keyhint: %v\nhint: %s\n", f.err, f.hint)
	return f.code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "keyhint",
		Short: "Encryption-key endpoint for real-time collaborative editors",
		Long: `keyhint answers {documentId, keyHint} with {key, keyHint}. It stores nothing per
session: keys are recomputed from the key ring in the configuration file.

Exit codes: 0 done; 1 failed; 2 called wrongly; 3 the configuration is refused
or cannot be read.`,
		Example:       "  keyhint dev\n  keyhint serve --config /etc/keyhint/keyhint.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
		// Before any command: nobody else may see the secrets that it will have, and
		// what this program derives must be right.
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if err := memory.Conceal(); err != nil {
				return &failure{exitFailed, fmt.Errorf("the memory of this program cannot be kept out of core dumps: %w", err), "see whether a sandbox forbids prctl or setrlimit, and allow it"}
			}
			if err := derive.SelfTest(); err != nil {
				return &failure{exitFailed, err, "this program derives wrong keys on this machine; do not use it, and report this"}
			}
			return nil
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.DisableSuggestions = true // they would make an error several lines long
	root.AddCommand(serveCommand(), devCommand(), configCommand(), keyringCommand(), hintCommand(), keyCommand(), auditCommand(), benchCommand(), versionCommand())
	return root
}

func serveCommand() *cobra.Command {
	var file, profileFile string
	command := &cobra.Command{
		Use:   "serve",
		Short: "Serve the key endpoint",
		Long: `Serve the key endpoint as the configuration file says, until SIGTERM or SIGINT.
Readiness turns off then, server.shutdown_delay passes, and requests in flight
are finished; a second signal ends it at once. SIGHUP reads the files again. Logs
go to stderr.`,
		Example: "  keyhint serve --config /etc/keyhint/keyhint.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("serve takes no arguments: name the file with --config %s", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error {
			path, err := findFile(file)
			if err != nil {
				return err
			}
			c, unlocked, err := loadLocked(path, nil)
			if err != nil {
				return err
			}
			endProfile, err := beginProfile(profileFile)
			if err != nil {
				return err
			}
			defer endProfile()
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			return serve(command.Context(), service.Options{Config: c, Hangup: hangup}, unlocked, `set server.address in `+c.File+` to one that can be had`)
		},
	}
	addConfigFlag(command, &file)
	addProfileFlag(command, &profileFile)
	return command
}

func addConfigFlag(command *cobra.Command, file *string) {
	command.Flags().StringVar(file, "config", "", "configuration `FILE` (default: $KEYHINT_CONFIG, ./keyhint.yaml, /etc/keyhint/keyhint.yaml)")
}

// clientModules are what the page of "keyhint dev" shares with everyone's pages.
//
//go:embed client/keyhint.js client/aes.js
var clientModules embed.FS

func devCommand() *cobra.Command {
	var file, address string
	command := &cobra.Command{
		Use:   "dev",
		Short: "Serve on this machine, with a key ring made on the first run",
		Long: `Serve on 127.0.0.1:8080 without access control, to try keyhint and to develop
against it. The first run makes keyhint.dev.yaml with a fresh key ring; later
runs use it again, so keys survive. The page at / shows what happens, and can add
versions to that ring and disable them.`,
		Example: "  keyhint dev\n  keyhint dev --address 127.0.0.1:8081",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			out, made := command.OutOrStdout(), ""
			defer func() { fmt.Fprint(out, made) }() // unless the guide has said it
			switch err := config.CreateDevFile(file, clock(), rand.Reader); {
			case err == nil:
				made = fmt.Sprintf("Made %s with a fresh key ring. Keep it: keys come back as long as it is there.\n", file)
			case !errors.Is(err, fs.ErrExist):
				return &failure{exitFailed, fmt.Errorf("making the development configuration: %w", err), "run it in a folder that you may write to"}
			}
			flags := config.Flags{"server.address": address}
			c, unlocked, err := loadLocked(file, flags)
			if err != nil {
				return err
			}
			if _, isUnix := config.UnixPath(c.Server.Address); isUnix || c.Server.Address == config.Systemd {
				return &failure{exitRefused, fmt.Errorf("server.address in %s is %s, which dev does not serve", file, c.Server.Address), "use keyhint serve --config " + file}
			}
			page, err := devpage.New(devpage.Options{Client: clientModules, Now: clock, Random: rand.Reader})
			if err != nil {
				return err
			}
			options := service.Options{Config: c, Flags: flags, Page: page, Listening: func(address net.Addr) {
				origin := "http://" + address.String()
				if c.Server.TLS != nil {
					origin = "https://" + address.String()
				}
				if service.OpenToThisMachine(c) {
					fmt.Fprintf(out, "See it work in a browser: %s/\n", origin)
				}
				fmt.Fprintf(out, devGuide, origin+c.Server.Path, file, made)
				made = ""
			}}
			return serve(command.Context(), options, unlocked, "choose another with --address 127.0.0.1:8081")
		},
	}
	command.Flags().StringVar(&file, "config", "keyhint.dev.yaml", "configuration `FILE`, made if it is not there")
	command.Flags().StringVar(&address, "address", "", "listen on loopback `HOST:PORT` (default: the file's, 127.0.0.1:8080 at first)")
	return command
}

// devGuide is what "keyhint dev" prints once it listens, below the page; %[1]s is
// the endpoint, %[2]s the configuration and %[3]s what was made.
const devGuide = `%[3]s
The endpoint is %[1]s
Every caller on this machine gets every key; this is for development only.
A page needs its origin, such as http://localhost:3000, in server.cors.origins of
%[2]s to read the answers.

A key for a new session:
  curl -s %[1]s -H 'Content-Type: application/json' \
    -d '{"documentId":"doc-1","keyHint":null}'

The same key again, with the keyHint from that answer:
  curl -s %[1]s -H 'Content-Type: application/json' \
    -d '{"documentId":"doc-1","keyHint":"kh1.…"}'

In the editor's configuration:
  rtc_encryption_provider: async ({ documentId, keyHint }) => {
    const response = await fetch('%[1]s', {
      method: 'POST',
      body: JSON.stringify({ documentId, keyHint })
    });
    if (!response.ok) throw new Error('no encryption key: status ' + response.status);
    const answer = await response.json();
    if (!answer.key || !answer.keyHint) throw new Error('no encryption key in the answer');
    return { key: answer.key, keyHint: answer.keyHint };
  }

Stop with Ctrl-C.
`

func configCommand() *cobra.Command {
	var against string
	var noSecrets, asJSON bool
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file and everything it names",
		Long: `Check a configuration file and everything it names. With --against, also tell
which entries of the key ring would be lost if it took the place of another file
while keyhint runs; it would be refused then. Findings go to stderr, or as a list
of {file, path, line, problem} to stdout with --json; with any, the exit code is 3.`,
		Example: "  keyhint config check keyhint.yaml\n  keyhint config check new.yaml --against keyhint.yaml --no-secrets --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			findings, err := config.Compare(args[0], against, noSecrets)
			if err != nil {
				return refusal(err)
			}
			summary := "has the shape of a configuration; secrets were not looked at"
			if !noSecrets && (len(findings) == 0 || against == "" && !asJSON) {
				c, err := config.Load(args[0], nil)
				if err == nil {
					err = service.Check(c)
				}
				var wrong *config.Error
				switch {
				case err == nil:
					summary = fmt.Sprintf("is valid: %d version(s), %s", c.Keyring.Ring.Versions(), service.Describe(c.Keyring.Ring, clock()))
				case asJSON && errors.As(err, &wrong):
					findings = wrong.Findings()
				default:
					return refusal(err)
				}
			}
			if asJSON {
				if err := printJSON(command, findings); err != nil {
					return err
				}
			}
			switch {
			case len(findings) > 0 && asJSON:
				return refusal(fmt.Errorf("%s is refused for %d reason(s)", args[0], len(findings)))
			case len(findings) > 0:
				return refusal(errors.New(findings.String()))
			case asJSON:
				return nil
			}
			return printed(fmt.Fprintln(command.OutOrStdout(), args[0], summary))
		},
	}
	check.Flags().StringVar(&against, "against", "", "configuration `FILE` that is in force")
	check.Flags().BoolVar(&noSecrets, "no-secrets", false, "read no secrets and no other files: compare shape, check values and statuses")
	check.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	parent := &cobra.Command{Use: "config", Short: "Work with configuration files", Example: check.Example, Args: cobra.NoArgs, RunE: showHelp}
	parent.AddCommand(check)
	return parent
}

func keyringCommand() *cobra.Command {
	parent := &cobra.Command{
		Use: "keyring", Short: "Work with the key ring", Args: cobra.NoArgs, RunE: showHelp,
		Example: "  keyhint keyring list\n  keyhint keyring add --activate-in 1h\n  keyhint keyring set-status 3 disabled",
	}
	parent.AddCommand(keyringNewCommand(), keyringListCommand(), keyringAddCommand(), keyringSetStatusCommand())
	return parent
}

func keyringNewCommand() *cobra.Command {
	var version uint32
	command := &cobra.Command{
		Use:   "new",
		Short: "Print a new key ring entry with fresh secrets",
		Long: `Print a complete entry with fresh secrets, to be pasted below keyring.keys.
It is printed once and stored nowhere. With several replicas, add an activate_at
by which all of them have the entry.`,
		Example: "  keyhint keyring new\n  keyhint keyring new --version 2",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if version == 0 {
				return errors.New("--version must be 1 or more")
			}
			entry, err := config.NewEntry(version, clock(), rand.Reader)
			if err != nil {
				return &failure{exitFailed, err, "the operating system gave no randomness"}
			}
			return printed(io.WriteString(command.OutOrStdout(), entry))
		},
	}
	command.Flags().Uint32Var(&version, "version", 1, "`NUMBER` of the entry: one more than the highest in the ring")
	return command
}

func keyringListCommand() *cobra.Command {
	var file string
	var asJSON bool
	command := &cobra.Command{
		Use:     "list",
		Short:   "List the entries of the key ring",
		Long:    "List the entries of the key ring: what each may be used for, which one issues now,\nwhat happens next, and from when it may be destroyed if there is a maximum age.",
		Example: "  keyhint keyring list\n  keyhint keyring list --json --config keyhint.yaml",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := findConfig(file)
			if err != nil {
				return err
			}
			ring := config.Describe(c, clock())
			if asJSON {
				return printJSON(command, ring)
			}
			return printed(0, ring.WriteTable(command.OutOrStdout()))
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print the ring as JSON, as /keyring of a running keyhint does")
	addConfigFlag(command, &file)
	return command
}

func keyringAddCommand() *cobra.Command {
	var file, at, folder string
	var in time.Duration
	command := &cobra.Command{
		Use:   "add",
		Short: "Add an entry with fresh secrets to the configuration file",
		Long: `Add the next version with fresh secrets to the key ring in the configuration
file, in its place; comments, order and formatting stay. Without a time of
activation it issues as soon as a replica has read the file. With several
replicas, choose a time by which all of them have it.`,
		Example: "  keyhint keyring add --activate-in 1h\n  keyhint keyring add --activate-at 2026-12-01T06:00:00Z --secrets-dir /etc/keyhint/secrets",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			path, err := findFile(file)
			if err != nil {
				return err
			}
			options := config.AddOptions{SecretsDir: folder, Now: clock(), Random: rand.Reader}
			switch {
			case at != "":
				if options.ActivateAt, err = time.Parse(time.RFC3339, at); err != nil {
					return errors.New("--activate-at is not a time: write RFC 3339 with an offset, such as 2026-12-01T06:00:00Z")
				}
			case in > 0:
				options.ActivateAt = options.Now.Add(in)
			case in < 0:
				return errors.New("--activate-in must not be negative")
			}
			added, err := config.AddEntry(path, options)
			if err != nil {
				return edited(err, added.Config)
			}
			when := "it issues as soon as the file is read"
			if !added.ActivateAt.IsZero() {
				when = "it issues from " + added.ActivateAt.Format(time.RFC3339) + "; roll the file out to every replica before that"
			}
			text := fmt.Sprintf("added version %d (check value %s) to %s: %s\n", added.Check.Version, added.Check, path, when)
			for _, name := range added.SecretFiles {
				text += "made " + name + "\n"
			}
			return printed(io.WriteString(command.OutOrStdout(), text+"back up the ring now: with its secrets go all keys\n"))
		},
	}
	command.Flags().DurationVar(&in, "activate-in", 0, "how long from now until the version begins to issue, such as `1h`")
	command.Flags().StringVar(&at, "activate-at", "", "`TIME` at which the version begins to issue")
	command.Flags().StringVar(&folder, "secrets-dir", "", "write the secrets as files into this existing `FOLDER`, instead of into the configuration")
	command.MarkFlagsMutuallyExclusive("activate-in", "activate-at")
	addConfigFlag(command, &file)
	return command
}

func keyringSetStatusCommand() *cobra.Command {
	var file string
	var yes, force bool
	command := &cobra.Command{
		Use:   "set-status VERSION STATUS",
		Short: "Set the status of an entry in the configuration file",
		Long: `Set the status of an entry of the key ring in the configuration file, in its
place: enabled, resolve_only, disabled or destroyed. Where two entries share a
version, name one as VERSION-FINGERPRINT.

destroyed cannot be undone. It removes the secrets from the file and lists where
else they remain. It asks first, and is refused while sessions may still need
the entry.`,
		Example: "  keyhint keyring set-status 3 disabled\n  keyhint keyring set-status 1 destroyed --yes",
		Args:    cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			name, err := config.ParseEntryName(args[0])
			if err != nil {
				return fmt.Errorf("%q %w", args[0], err)
			}
			status, err := derive.ParseStatus(args[1])
			if err != nil {
				return fmt.Errorf("%q %w", args[1], err)
			}
			path, err := findFile(file)
			if err != nil {
				return err
			}
			if status == derive.Destroyed && !yes && !confirmed(command, fmt.Sprintf("destroy %s", name)) {
				return &failure{exitFailed, errors.New("not confirmed; nothing was changed"), "answer as asked, or give --yes in scripts"}
			}
			change, err := config.SetStatus(path, name, status, config.StatusOptions{Now: clock(), Force: force})
			if err != nil {
				return edited(err, change.Config)
			}
			text := fmt.Sprintf("version %d (check value %s) was %s and is now %s\n", change.Check.Version, change.Check, change.From, change.To)
			for _, remainder := range change.Remains {
				text += remainder.String() + "\n"
			}
			return printed(io.WriteString(command.OutOrStdout(), text+service.Describe(change.Config.Keyring.Ring, clock())+"\n"))
		},
	}
	command.Flags().BoolVar(&yes, "yes", false, "do not ask before destroying")
	command.Flags().BoolVar(&force, "force", false, "destroy although sessions may still need it; they are lost")
	addConfigFlag(command, &file)
	return command
}

// confirmed asks for words to be typed.
func confirmed(command *cobra.Command, words string) bool {
	fmt.Fprintf(command.ErrOrStderr(), "The secrets will be gone for good. Type %q to go on: ", words)
	answer, _ := bufio.NewReader(command.InOrStdin()).ReadString('\n')
	return strings.TrimSpace(answer) == words
}

// edited is for an edit that failed. If the file has changed all the same, next
// is what it says now.
func edited(err error, next *config.Config) error {
	var refused *config.Error
	switch {
	case next != nil:
		return &failure{exitFailed, err, "look at the file before you go on"}
	case errors.Is(err, config.ErrStillNeeded):
		return &failure{exitFailed, err, "nothing was changed; --force destroys it all the same"}
	case errors.As(err, &refused):
		return refusal(err)
	}
	return &failure{exitFailed, err, "nothing was changed"}
}

func hintCommand() *cobra.Command {
	var file, documentID string
	inspect := &cobra.Command{
		Use:   "inspect HINT",
		Short: "Show what a hint says, and whether it verifies",
		Long: `Show the parts of a hint and its time of issue. With --document-id, and a
configuration, also tell whether it would resolve now, and if not, why.`,
		Example: `  keyhint hint inspect kh1.1-2b1f9d63.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw --document-id doc-1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			hint, err := derive.ParseHint(args[0])
			if err != nil {
				return &failure{exitFailed, err, "give the hint exactly as it was issued"}
			}
			out := command.OutOrStdout()
			ref := hint.Reference()
			fmt.Fprintf(out, "version      %d\nfingerprint  %s\nreference    %s\nissued       %s, unless the hint was made up\n",
				hint.Version(), hint.Fingerprint(), ref, ref.Time().Format("2006-01-02T15:04:05.000Z07:00"))
			if documentID == "" {
				return nil
			}
			c, err := findConfig(file)
			if err != nil {
				return err
			}
			if _, err := resolve(c, hint, documentID); err != nil {
				return &failure{exitFailed, fmt.Errorf("it does not resolve: %w", err), unresolved(hint, err)}
			}
			return printed(fmt.Fprintln(out, "verified     yes: it was issued for this document, and resolves"))
		},
	}
	inspect.Flags().StringVar(&documentID, "document-id", "", "document `ID` that the hint should be for")
	addConfigFlag(inspect, &file)
	parent := &cobra.Command{Use: "hint", Short: "Work with hints", Example: inspect.Example, Args: cobra.NoArgs, RunE: showHelp}
	parent.AddCommand(inspect)
	return parent
}

func keyCommand() *cobra.Command {
	var file, documentID, text string
	var show bool
	command := &cobra.Command{
		Use:   "key",
		Short: "Recover one key from the key ring, without a server",
		Long: `Print the key of one earlier session, for when there is no server to ask. Each
use leaves a record in the audit log, if that is a file, else on stderr; without
it there is no key. The key is not printed on a terminal unless --show-key is
given.`,
		Example: `  keyhint key --document-id doc-1 --hint kh1.1-2b1f9d63.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw > doc-1.key`,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if !show && term.IsTerminal(int(os.Stdout.Fd())) {
				return &failure{exitFailed, errors.New("the key is not printed on a terminal"), "redirect it to a file or program, or give --show-key"}
			}
			hint, err := derive.ParseHint(text)
			if err != nil {
				return &failure{exitFailed, err, "give the hint exactly as it was issued"}
			}
			c, err := findConfig(file)
			if err != nil {
				return err
			}
			key, err := resolve(c, hint, documentID)
			if unwritten := recordRecovery(c, hint, documentID, err); unwritten != nil {
				return unwritten
			}
			if err != nil {
				return &failure{exitFailed, err, unresolved(hint, err)}
			}
			return printed(fmt.Fprintln(command.OutOrStdout(), key.Reveal()))
		},
	}
	command.Flags().StringVar(&documentID, "document-id", "", "document `ID` that the session was on")
	command.Flags().StringVar(&text, "hint", "", "`HINT` that the key was issued with")
	command.Flags().BoolVar(&show, "show-key", false, "print the key even on a terminal")
	command.MarkFlagRequired("document-id")
	command.MarkFlagRequired("hint")
	addConfigFlag(command, &file)
	return command
}

// resolve recomputes a key as the endpoint would.
func resolve(c *config.Config, hint derive.Hint, documentID string) (derive.Key, error) {
	doc := derive.Document{Namespace: c.Keyring.Namespace, ID: documentID}
	return c.Keyring.Ring.Resolve(hint, doc, clock(), c.Keyring.MaxAge)
}

// unresolved tells what to do about an error of [resolve].
func unresolved(hint derive.Hint, err error) string {
	switch {
	case errors.Is(err, derive.ErrDisabled):
		return fmt.Sprintf("\"keyhint keyring set-status %d resolve_only\" lets its sessions be read again", hint.Version())
	case errors.Is(err, derive.ErrDestroyed):
		return "the secrets of its version are gone, and the key with them"
	case errors.Is(err, derive.ErrExpired):
		return "it is older than keyring.max_age; with a longer one it resolves"
	}
	return "the ring, the document id and the namespace must be those it was issued with"
}

// showHelp runs a command that only groups others. Without it cobra would show
// the help for a mistyped subcommand too, and exit with 0.
func showHelp(command *cobra.Command, _ []string) error { return command.Help() }

// printed turns the failure to print a result into a command's.
func printed(_ int, err error) error {
	if err != nil {
		return &failure{exitFailed, err, "the result was not printed; see where stdout leads"}
	}
	return nil
}

func printJSON(command *cobra.Command, value any) error {
	text, err := json.Marshal(value, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return printed(fmt.Fprintln(command.OutOrStdout(), string(text)))
}

// findFile names the configuration file that is given, or the usual one.
func findFile(flag string) (string, error) {
	path, err := config.Find(flag)
	if err != nil {
		return "", &failure{exitRefused, err, `name one with --config FILE; config.example.yaml shows what to write, and "keyhint dev" makes one to try`}
	}
	return path, nil
}

func findConfig(flag string) (*config.Config, error) {
	path, err := findFile(flag)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(path, nil)
	if err != nil {
		return nil, refusal(err)
	}
	return c, nil
}

func refusal(err error) error {
	return &failure{exitRefused, err, "nothing was changed; mend the configuration and try again"}
}

// serve runs the endpoint until a signal. It sets the log, the sockets and the
// clock of the options; unlocked is why memory is not locked, if it should be;
// addressHint tells what to do when the address cannot be had.
func serve(ctx context.Context, options service.Options, unlocked error, addressHint string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	// Whoever reads stdout or stderr may go away. Writing fails then, and what needs
	// it is refused.
	signal.Ignore(syscall.SIGPIPE)
	sockets, err := listen.Inherited()
	if err != nil {
		return &failure{exitFailed, err, "mend the socket unit"}
	}
	c, level := options.Config, new(slog.LevelVar)
	level.Set(c.Log.Level)
	options.Log, options.Level, options.Sockets, options.Now = newLogger(c.Log.Format, level), level, sockets, clock
	if unlocked != nil {
		options.Log.Info("memory is not locked: if there is swap space, secrets can get there", "cause", unlocked, "mend", lockHint)
	}
	err = service.Run(ctx, options)
	var listen *service.ListenError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, service.ErrRefused), errors.As(err, new(*config.Error)):
		return refusal(err)
	case errors.As(err, &listen) && listen.Setting == "admin.address":
		return &failure{exitFailed, err, "set admin.address in " + c.File + ` to one that can be had, or to "" for none`}
	case errors.As(err, &listen):
		return &failure{exitFailed, err, addressHint}
	}
	return &failure{exitFailed, err, "the log above says more"}
}

// newLogger returns a log that goes to stderr.
func newLogger(format string, level slog.Leveler) *slog.Logger {
	to, options := &service.LogWriter{To: os.Stderr}, &slog.HandlerOptions{Level: level}
	log := slog.New(slog.NewJSONHandler(to, options))
	if format == "text" {
		log = slog.New(slog.NewTextHandler(to, options))
	}
	to.Lost = func(lines int) {
		log.Warn("lines of this log were lost: nothing took them up", "lines", lines)
	}
	return log
}

const lockHint = "give it the capability CAP_IPC_LOCK, or no limit: LimitMEMLOCK=infinity for systemd, --ulimit memlock=-1 for containers, ulimit -l unlimited in a shell; or see to it that there is no swap space, and set memory.lock to off"

// loadLocked loads a configuration for a server, after memory is locked as it
// says. If that failed and was only to be tried, unlocked is why.
func loadLocked(path string, flags config.Flags) (c *config.Config, unlocked, err error) {
	opened, err := config.Open(path, flags)
	if err != nil {
		return nil, nil, refusal(err)
	}
	lock := opened.MemoryLock()
	if lock != config.LockOff {
		unlocked = memory.Lock()
	}
	if lock == config.LockRequire && unlocked != nil {
		return nil, nil, &failure{exitFailed, fmt.Errorf("memory cannot be locked, which memory.lock requires: %w", unlocked), lockHint}
	}
	if c, err = opened.Load(); err != nil {
		return nil, nil, refusal(err)
	}
	return c, unlocked, nil
}

func addProfileFlag(command *cobra.Command, file *string) {
	command.Flags().StringVar(file, "cpuprofile", "", "write what the processor was busy with to a new `FILE`, for \"go tool pprof\"")
}

// beginProfile notes in a new file what the processor is busy with, until end is
// called: names of functions and how often they were seen, no data. Without a
// file it does nothing.
func beginProfile(file string) (end func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = pprof.StartCPUProfile(out)
	}
	if err != nil {
		return nil, &failure{exitFailed, fmt.Errorf("writing a profile: %w", err), "name a file that is not there yet, in a folder that you may write to"}
	}
	return func() {
		pprof.StopCPUProfile()
		out.Close()
	}, nil
}

// benchTokenEnv may hold the token, so that it need not be in a command line,
// which every user of the machine can read.
const benchTokenEnv = "KEYHINT_BENCH_TOKEN"

func benchCommand() *cobra.Command {
	var o bench.Options
	var address, tokenFile, caFile, profileFile string
	command := &cobra.Command{
		Use:   "bench",
		Short: "Put load on an endpoint and verify every answer",
		Long: `Put load on an endpoint, with sessions of its own, and verify every answer: each
hint that is issued must resolve to the same key. The exit code is 1 if an answer is
wrong or a hint could not be verified in the end. Refusals, such as 429, and
requests without an answer are counted.

Requests are due at a fixed rate, and latency counts from when a request was due,
so waiting for others is part of it. Ctrl-C ends the load, and what was measured is
printed. Another machine than this one is loaded with --i-own-this only.

To the endpoint these are requests like any other: the audit log and the metrics
have them. In auth.mode jwt they need a token; it opens one document, so name that
with it. Take the token from a file or from the environment variable
` + benchTokenEnv + `: what is in a command line, every user of this machine can
read. Cookies and client certificates cannot be sent.`,
		Example: `  keyhint bench --url http://127.0.0.1:8080/v1/key
  keyhint bench --url https://keys.example.com/v1/key --i-own-this --token-file token --document doc-1 --rate 500 --duration 1m`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			var err error
			if o.Target.URL, err = url.Parse(address); err != nil {
				return errors.New("--url is not a URL: write it as http://127.0.0.1:8080/v1/key")
			}
			switch {
			case tokenFile != "":
				text, err := os.ReadFile(tokenFile)
				if err != nil {
					return &failure{exitFailed, err, "name a file that holds the token and nothing else"}
				}
				if o.Target.Token = strings.TrimSpace(string(text)); o.Target.Token == "" {
					return &failure{exitFailed, fmt.Errorf("%s is empty", tokenFile), "name a file that holds the token and nothing else"}
				}
			case o.Target.Token == "":
				o.Target.Token = os.Getenv(benchTokenEnv)
			}
			if caFile != "" {
				if o.Target.RootCAs, err = readAuthorities(caFile); err != nil {
					return &failure{exitFailed, err, "name a file with the certificates of the authority, in PEM"}
				}
			}
			switch err := o.Validate(); {
			case errors.Is(err, bench.ErrNotLoopback):
				return fmt.Errorf("--url: %w; if the endpoint is yours, say so with --i-own-this", err)
			case err != nil:
				return err
			}
			endProfile, err := beginProfile(profileFile)
			if err != nil {
				return err
			}
			defer endProfile()
			return runBench(command, o)
		},
	}
	flags := command.Flags()
	flags.StringVar(&address, "url", "", "`URL` of the endpoint")
	flags.StringVar(&o.Target.Token, "token", "", "bearer `TOKEN`; there are better places for it, see above")
	flags.StringVar(&tokenFile, "token-file", "", "`FILE` with the bearer token")
	flags.StringVar(&o.Document, "document", "", "document `ID` of all sessions (default: each has its own)")
	flags.IntVar(&o.Rate, "rate", 100, fmt.Sprintf("requests per second, at most %d", bench.MaxRate))
	flags.IntVar(&o.Connections, "connections", 16, fmt.Sprintf("connections, at most %d", bench.MaxConnections))
	flags.DurationVar(&o.Duration, "duration", 10*time.Second, fmt.Sprintf("how long, at most %s", bench.MaxDuration))
	flags.Float64Var(&o.IssueShare, "issue-share", 0.2, fmt.Sprintf("share of requests that begin a session, at most %g; the others resolve", bench.MaxIssueShare))
	flags.StringVar(&caFile, "ca-file", "", "`FILE` with the authority of the server's certificate, in PEM (default: the system's)")
	flags.BoolVar(&o.Target.AnyHost, "i-own-this", false, "load an endpoint on another machine: it is mine")
	addProfileFlag(command, &profileFile)
	command.MarkFlagRequired("url")
	command.MarkFlagsMutuallyExclusive("token", "token-file")
	return command
}

func readAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in PEM", file)
	}
	return pool, nil
}

// runBench shows progress on stderr, on a line of its own if that is a terminal,
// and the report on stdout.
func runBench(command *cobra.Command, o bench.Options) error {
	ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	notes, begin, end := command.ErrOrStderr(), "", "\n"
	o.Interval = 10 * time.Second
	if term.IsTerminal(int(os.Stderr.Fd())) {
		begin, end = "\r\x1b[K", "" // over the last one, which is erased
		o.Interval = 500 * time.Millisecond
	}
	o.Progress = func(line string) { fmt.Fprint(notes, begin, line, end) }
	o.Mismatch = func(text string) { fmt.Fprint(notes, begin, "WRONG: ", text, "\n") }
	report, err := bench.Run(ctx, o)
	fmt.Fprint(notes, begin)
	if err != nil {
		return &failure{exitFailed, fmt.Errorf("the first session: %w", err), "see that the endpoint is there, and that the token is for it and for the document that --document names"}
	}
	if err := printed(io.WriteString(command.OutOrStdout(), report.String())); err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return &failure{exitFailed, err, "do not rely on this endpoint before you know why"}
	}
	return nil
}

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

// buildInfo is what the Go toolchain noted in this program about how it was built.
type buildInfo struct {
	Version  string `json:"version"`           // of the module: a tag, or one made of the commit; "(devel)" without either
	Commit   string `json:"commit,omitzero"`   // empty: built without version control information
	Time     string `json:"time,omitzero"`     // of the commit, RFC 3339
	Modified *bool  `json:"modified,omitzero"` // whether files differed from the commit; nil without one
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

func readBuildInfo() buildInfo {
	b := buildInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			modified := s.Value == "true"
			b.Modified = &modified
		}
	}
	return b
}

// String is for people, in lines.
func (b buildInfo) String() string {
	commit := "unknown: built without version control information"
	if b.Commit != "" {
		state := "clean"
		if b.Modified == nil || *b.Modified {
			state = "dirty: built with changes that are not in it"
		}
		commit = fmt.Sprintf("%s of %s, %s", b.Commit, b.Time, state)
	}
	return fmt.Sprintf("keyhint  %s\ncommit   %s\ngo       %s %s\n", b.Version, commit, b.Go, b.Platform)
}

func versionCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and toolchain of this program",
		Long: `Print what this program was built from: version, commit, whether it was built with
changes that are not in that commit, and the Go toolchain. deploy/README.md shows
how to build the same bytes again.`,
		Example: "  keyhint version\n  keyhint version --json",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			b := readBuildInfo()
			if asJSON {
				return printJSON(command, b)
			}
			return printed(io.WriteString(command.OutOrStdout(), b.String()))
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return command
}
