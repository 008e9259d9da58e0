package cli_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// A gateway of two cells: each worker goes to its own, a job at one cell is done by that
// cell's workers alone, and when a cell goes, its workers go on in the other.
func TestTwoCells(t *testing.T) {
	w := startWorld(t, 1)
	ctx := t.Context()
	owner := w.fund("celled", 5000)
	params, err := w.Params(ctx)
	require.NoError(t, err)
	key, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)

	read := func(ctx context.Context) ([]work.Cell, error) {
		rec, err := w.GatewayRecord(ctx, owner.Address.String())
		if err != nil {
			return nil, err
		}
		g, err := market.PlainGateway(rec)
		return g.Cells, err
	}
	names := []string{"north", "south"}
	gateways := map[string]*gateway.Gateway{}
	var cells []work.Cell
	for _, name := range names {
		account := w.fund(name, 100)
		g, err := gateway.New(gateway.Config{
			Chain: w.client.ChainID(), Address: owner.Address.String(), Cell: name, Key: key, FeeBps: 500, Dir: t.TempDir(), Kinds: kinds(t, w.home.Models()),
			Ledger:        market.NewCellLedger(w.View, market.NewChain(w.client, account.Name), owner.Address.String(), name, account.Address.String()),
			AllowLoopback: true, Log: slog.New(slog.DiscardHandler), Cells: read, ClaimForWorkers: true,
		})
		require.NoError(t, err)
		serve, stop := context.WithCancel(ctx)
		served := make(chan error, 1)
		go func() { served <- g.Run(serve) }()
		t.Cleanup(func() { stop(); <-served; require.NoError(t, g.Close()) })
		gateways[name] = g
		cells = append(cells, work.Cell{Name: name, URL: g.URL(), Address: account.Address.String()})
	}
	require.NoError(t, market.RegisterGateway(ctx, w.client, w.View, owner, key, gateways["north"].URL(), 500, params.MinGatewayBond))
	require.NoError(t, market.SetCells(ctx, w.client, w.View, owner, cells))

	// Two workers of each cell, all of which know the first cell's address alone.
	of := map[string][]work.PublicKey{}
	for i := 0; len(of["north"]) < 2 || len(of["south"]) < 2; i++ {
		k, err := work.GenerateKey(rand.Reader)
		require.NoError(t, err)
		cell := work.CellOf(k.Public(), names)
		if len(of[cell]) == 2 {
			continue
		}
		of[cell] = append(of[cell], k.Public())
		w.join("worker-"+k.Public().Short(), k, func(c *worker.Config) {
			c.Gateway, c.CellsEvery = gateways["north"].URL(), time.Second
		})
	}

	crawl := func(cell string) []work.PublicKey {
		out := filepath.Join(t.TempDir(), "dataset")
		printed := w.run(append([]string{"crawl", "--gateway", gateways[cell].URL(), "--out", out, "--epoch", "5", "--json"}, sites(t, 4, 6)...)...)
		var report struct{ Account market.Account }
		require.NoError(t, json.Unmarshal(printed, &report))
		require.True(t, report.Account.Balanced)
		job, err := w.Job(ctx, work.JobID(report.Account.Job))
		require.NoError(t, err)
		require.Equal(t, cell, job.Cell)
		p, err := gateways[cell].Scheduler().Progress(job.ID)
		require.NoError(t, err)
		var did []work.PublicKey
		for _, x := range p.Workers {
			did = append(did, x.Worker)
		}
		return did
	}
	for _, cell := range names {
		did := crawl(cell)
		require.NotEmpty(t, did)
		for _, k := range did {
			require.Contains(t, of[cell], k, "a job at %s was done by a worker of another cell", cell)
		}
	}

	// The southern cell is given up: its workers go on in the north.
	require.NoError(t, market.SetCells(ctx, w.client, w.View, owner, cells[:1]))
	for moved := false; !moved; {
		require.NoError(t, ctx.Err())
		moved = slices.ContainsFunc(crawl("north"), func(k work.PublicKey) bool { return slices.Contains(of["south"], k) })
	}
}
