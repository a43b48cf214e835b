package main

import (
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"
)

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
