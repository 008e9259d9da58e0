// Cantus is the one command of the network: ledger node, gateway, worker and client.
package main

import (
	"os"

	"github.com/cantus-network/cantus/cmd/cantus/internal/cli"
)

// version is stamped by the Makefile.
var version = "dev"

func main() { os.Exit(cli.Main(version)) }
