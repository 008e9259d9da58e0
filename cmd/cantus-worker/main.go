// Command cantus-worker is the worker alone: what a home machine runs. It links nothing of
// the ledger.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/worker/cli"
)

// version is set by the linker in releases.
var version = ""

func main() { os.Exit(run()) }

func run() int {
	return cli.Main(context.Background(), cli.Root(cli.Program{Version: currentVersion(), Kinds: all.Kinds}))
}

func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
