package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/internal/modelcli"
	"github.com/cantus-network/cantus/models"
)

// modelCommand is what cantus-worker has too; only this program carries the demo model.
func modelCommand(g *globals) *cobra.Command {
	return modelcli.Command(modelcli.Program{
		Name: "cantus",
		Dir:  func() string { return g.home().Models() },
		JSON: func() bool { return g.json },
		Builtin: []modelcli.Builtin{
			{Name: models.DemoName, Licence: models.DemoLicence, Open: func() io.Reader { return models.Demo() }},
		},
	})
}
