package cli

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	ledgercli "github.com/cantus-network/cantus/ledger/cli"
)

// ledgerCommand mounts the ledger's own commands.
func ledgerCommand(g *globals) *cobra.Command {
	return ledgercli.Command(ledgercli.Options{
		Home: func() string { return g.home().Ledger() },
		Keys: g.ring,
		Log: func() *slog.Logger {
			l, err := g.logger(os.Stderr)
			if err != nil {
				return slog.New(slog.NewTextHandler(os.Stderr, nil))
			}
			return l
		},
	})
}
