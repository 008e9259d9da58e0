package cli

import (
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	ledgercli "github.com/cantus-network/cantus/ledger/cli"
)

// ledgerCommand mounts the ledger's own commands.
func ledgerCommand(g *globals) *cobra.Command {
	c := ledgercli.Command(ledgercli.Options{
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
	for _, start := range c.Commands() {
		if start.Name() != "start" {
			continue
		}
		run := start.RunE
		start.RunE = func(cmd *cobra.Command, args []string) error {
			if _, err := g.settings(cmd, "ledger"); err != nil {
				return err
			}
			return run(cmd, args)
		}
		start.Long = strings.TrimSpace(start.Long + "\n\n" + strings.ReplaceAll(settingsHelp("ledger"), "listen", "rpc"))
	}
	return c
}
