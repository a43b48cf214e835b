package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"keyhint/httpapi/bench"
)

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
hint that is issued must resolve to the same key. A wrong answer makes the exit
code 1. Refusals, such as 429, are counted.

Requests are due at a fixed rate, and latency counts from when a request was due,
so waiting for others is part of it. Ctrl-C ends the load, and what was measured is
printed. Another machine than this one is loaded with --i-own-this only.

A token opens one document, so name that with it. Take the token from a file or
from the environment variable ` + benchTokenEnv + `: what is in a command line, every
user of this machine can read.`,
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
				o.Target.Token = strings.TrimSpace(string(text))
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
		return &failure{exitFailed, fmt.Errorf("the first session: %w", err), "see that the endpoint is there, and that the token is for it and for the document"}
	}
	if err := printed(io.WriteString(command.OutOrStdout(), report.String())); err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return &failure{exitFailed, err, "do not rely on this endpoint before you know why"}
	}
	return nil
}
