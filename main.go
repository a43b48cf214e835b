// Command keyhint is an encryption-key endpoint for real-time collaborative
// editors. This file is its command line: it parses, calls and prints.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"keyhint/config"
	"keyhint/derive"
	"keyhint/httpapi/devpage"
	"keyhint/httpapi/listen"
	"keyhint/httpapi/service"
	"keyhint/memory"
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
			return serve(command.Context(), service.Options{Config: c, Hangup: hangup}, unlocked, `set server.address in `+c.File+` to a free one`)
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
				return &failure{exitFailed, fmt.Errorf("it does not resolve: %w", err), "the ring, the document id and the namespace must be those it was issued with"}
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
				return &failure{exitFailed, err, "the ring, the document id and the namespace must be those it was issued with"}
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
		return &failure{exitFailed, err, "set admin.address in " + c.File + ` to a free one, or to "" for none`}
	case errors.As(err, &listen):
		return &failure{exitFailed, err, addressHint}
	}
	return &failure{exitFailed, err, "the log above says more"}
}

// newLogger returns a log that goes to stderr.
func newLogger(format string, level slog.Leveler) *slog.Logger {
	to, options := &logWriter{to: os.Stderr}, &slog.HandlerOptions{Level: level}
	log := slog.New(slog.NewJSONHandler(to, options))
	if format == "text" {
		log = slog.New(slog.NewTextHandler(to, options))
	}
	to.lost = func(lines int) {
		log.Warn("lines of this log were lost: nothing took them up", "lines", lines)
	}
	return log
}
