package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

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
