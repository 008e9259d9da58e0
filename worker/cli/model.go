package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/internal/modelcli"
)

// modelCommand is what cantus has too; there it is for the whole home, here for the worker.
func modelCommand(p Program) *cobra.Command {
	var home, dir *string
	var json *bool
	c := modelcli.Command(modelcli.Program{
		Name: "cantus-worker",
		Dir: func() string {
			if *dir != "" {
				return *dir
			}
			return filepath.Join(*home, "models")
		},
		JSON: func() bool { return *json },
	})
	f := c.PersistentFlags()
	home = homeFlag(f, p)
	dir = f.String("models", p.Models, "directory of the models (default models in --home)")
	json = f.Bool("json", false, "print JSON for scripts")
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return configure(c) }
	return c
}
