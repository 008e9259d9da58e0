package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
)

type traceView struct {
	Artifact lineagetypes.Artifact `json:"artifact"`
	Tainted  bool                  `json:"tainted"`
	By       []string              `json:"tainted_by,omitempty"`
	Related  []lineagetypes.Traced `json:"related"`
	Down     bool                  `json:"descendants"`
}

func traceCommand(g *globals) *cobra.Command {
	var down bool
	c := &cobra.Command{
		Use:   "trace CID|DIR",
		Short: "Show what an artifact came from, or what was made from it",
		Long: `Walks the ledger's lineage from an artifact, by its CID or the directory of a dataset, to
everything that it was made from; with --descendants, to everything that was made from it. An
artifact whose ancestor was revoked is shown as tainted.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			cid := args[0]
			if st, err := os.Stat(cid); err == nil && st.IsDir() {
				if cid, _, err = readIndex(filepath.Clean(cid)); err != nil {
					return err
				}
			}
			s, err := g.connect(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			r, err := s.Lineage.Artifact(ctx, &lineagetypes.QueryArtifactRequest{Cid: cid})
			if market.NotFound(err) {
				return fmt.Errorf("no artifact %s is registered on %s", cid, s.net.ChainID)
			}
			if err != nil {
				return fmt.Errorf("look %s up: %w", cid, err)
			}
			v := traceView{Artifact: r.Artifact, Tainted: r.Tainted, By: r.TaintedBy, Down: down}
			for page := (&query.PageRequest{Limit: 100}); page != nil; {
				var next *query.PageResponse
				if down {
					a, err := s.Lineage.Descendants(ctx, &lineagetypes.QueryDescendantsRequest{Cid: cid, Pagination: page})
					if err != nil {
						return fmt.Errorf("walk from %s: %w", cid, err)
					}
					v.Related, next = append(v.Related, a.Artifacts...), a.Pagination
				} else {
					a, err := s.Lineage.Ancestry(ctx, &lineagetypes.QueryAncestryRequest{Cid: cid, Pagination: page})
					if err != nil {
						return fmt.Errorf("walk from %s: %w", cid, err)
					}
					v.Related, next = append(v.Related, a.Artifacts...), a.Pagination
				}
				page = nil
				if next != nil && len(next.NextKey) > 0 {
					page = &query.PageRequest{Key: next.NextKey, Limit: 100}
				}
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), v)
			}
			printTrace(cmd, v)
			return nil
		},
	}
	c.Flags().BoolVar(&down, "descendants", false, "walk to what was made from it instead")
	return c
}

func printTrace(cmd *cobra.Command, v traceView) {
	w := cmd.OutOrStdout()
	line := func(depth uint32, role string, a lineagetypes.Artifact, tainted bool, by []string) {
		state := ""
		if a.Status == lineagetypes.Status_STATUS_REVOKED {
			state = ", REVOKED: " + a.RevokeReason
		} else if tainted {
			state = ", tainted by " + strings.Join(by, ", ")
		}
		made := "asserted by its owner"
		if a.Job != 0 {
			made = fmt.Sprintf("job %d, settled root %x", a.Job, a.SettledRoot)
		}
		fmt.Fprintf(w, "%s%s%s %s\n%s  %s; label %s; owner %s; licence %s; block %d%s\n",
			strings.Repeat("  ", int(depth)), role, a.Type, a.Cid,
			strings.Repeat("  ", int(depth)), made, a.Label, a.Owner, a.License, a.RegisteredHeight, state)
	}
	line(0, "", v.Artifact, v.Tainted, v.By)
	for _, r := range v.Related {
		if r.Depth > 0 {
			line(r.Depth, r.Role+": ", r.Artifact, r.Tainted, r.TaintedBy)
		}
	}
}
