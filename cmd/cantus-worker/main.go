// Command cantus-worker is the worker alone: what a home machine runs. It links nothing of
// the ledger.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/cli"
)

// version is set by the linker in releases.
var version = ""

func main() { os.Exit(run()) }

func run() int {
	return cli.Main(context.Background(), cli.Root(cli.Program{Version: currentVersion(), Names: all.Names(), Kinds: kinds}))
}

func kinds(m cli.Machine) ([]work.Kind, func(), error) { return all.Kinds(all.Options(m)) }

func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
