package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/internal/settings"
)

// configurable are the long-running commands that take settings from the environment and
// the configuration file: the table that they have there, and their command line.
var configurable = map[string][]string{"gateway": {"gateway", "start"}, "up": {"up"}, "ledger": {"ledger", "start"}}

func settingsHelp(table string) string {
	return fmt.Sprintf(`Every flag can also be set in the environment (--listen as CANTUS_%s_LISTEN) or in the
table [%s] of cantus.toml in --home (listen = "…"). Flags win over the environment, and
that over the file. "cantus config %s" shows what holds and where it comes from.`, strings.ToUpper(table), table, table)
}

// notInFile are flags that say where the file is, or how one command answers.
var notInFile = []string{"home", "config", "json", "gateway", "version"}

// settings fills in the flags that were not given.
func (g *globals) settings(cmd *cobra.Command, table string) ([]settings.Setting, error) {
	global := map[string]bool{}
	for _, name := range []string{"home", "config", "json", "log-level", "log-format", "grpc", "gateway", "pprof"} {
		// A command's own flag of that name hides the global one.
		global[name] = cmd.LocalNonPersistentFlags().Lookup(name) == nil
	}
	o := settings.Options{
		File: g.config, Not: notInFile,
		Env: func(flag string) string {
			name := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
			if global[flag] {
				return "CANTUS_" + name
			}
			return "CANTUS_" + strings.ToUpper(table) + "_" + name
		},
		Table: func(flag string) string {
			if global[flag] {
				return ""
			}
			return table
		},
	}
	if o.File == "" {
		o.File, o.Optional = g.home().Path("cantus.toml"), true
	}
	for other := range configurable { // order-free: a set
		o.Others = append(o.Others, other)
	}
	slices.Sort(o.Others)
	return settings.Apply(cmd.Flags(), o)
}

func configCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "config gateway|up|ledger [-- FLAG…]",
		Short: "Show the settings of a command that runs long, and where each comes from",
		Long: `Shows what "cantus gateway start", "cantus up" or "cantus ledger start" would go by here:
each setting, its value, and whether a flag, the environment, the configuration file or the
default decides it. Flags for the command follow after --.`,
		Example: "  cantus config gateway\n  cantus config gateway -- --listen 0.0.0.0:443",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || configurable[args[0]] == nil {
				return usagef("want one of gateway, up, ledger")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, _, err := cmd.Root().Find(configurable[args[0]])
			if err != nil {
				return err
			}
			if err := of.ParseFlags(args[1:]); err != nil {
				return usageError{err}
			}
			all, err := g.settings(of, args[0])
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(s settings.Setting) bool { return s.Name == "json" || s.Name == "version" })
			if g.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			rows := [][]string{{"SETTING", "VALUE", "FROM"}}
			for _, s := range all {
				rows = append(rows, []string{s.Name, s.Value, s.From})
			}
			return table(cmd.OutOrStdout(), rows)
		},
	}
}
