package cli_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	"github.com/cantus-network/cantus/worker/witness"
)

// Auditors that work for one gateway are drawn for the job of another, which they were never
// told of: they go there and give their verdicts, and nobody loses for silence.
func TestAuditorsOfAnotherGateway(t *testing.T) {
	w := startWorld(t, 1)
	ctx := t.Context()
	owner := w.fund("newcomer", 5000)
	params, err := w.Params(ctx)
	require.NoError(t, err)
	gatewayKey, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	g, err := gateway.New(gateway.Config{
		Chain: w.client.ChainID(), Address: owner.Address.String(), Key: gatewayKey, FeeBps: 500, Dir: t.TempDir(), Kinds: kinds(t, w.home.Models()),
		Ledger:        market.NewLedger(w.View, market.NewChain(w.client, owner.Name), owner.Address.String()),
		AllowLoopback: true, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, market.RegisterGateway(ctx, w.client, w.View, owner, gatewayKey, g.URL(), 500, params.MinGatewayBond))
	serve, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- g.Run(serve) }()
	t.Cleanup(func() { stop(); <-served; require.NoError(t, g.Close()) })

	join := func(name string, set func(*worker.Config)) work.PublicKey {
		key, err := work.GenerateKey(rand.Reader)
		require.NoError(t, err)
		w.join(name, key, set)
		return key.Public()
	}
	var auditors []work.PublicKey
	for _, name := range []string{"far-1", "far-2", "far-3"} {
		auditors = append(auditors, join(name, func(c *worker.Config) {
			ledger, err := witness.New(witness.Options{URLs: []string{w.net.Info().REST}})
			require.NoError(t, err)
			c.Ledger, c.LedgerEvery = ledger, time.Second
		}))
	}
	doer := join("doer", func(c *worker.Config) { c.Gateway = g.URL() })

	out := filepath.Join(t.TempDir(), "dataset")
	printed := w.run(append([]string{"crawl", "--gateway", g.URL(), "--out", out, "--audit", "100", "--epoch", "5", "--json"}, sites(t, 2, 6)...)...)
	var report struct{ Account market.Account }
	require.NoError(t, json.Unmarshal(printed, &report))
	epochs, err := w.EpochRecords(ctx, work.JobID(report.Account.Job))
	require.NoError(t, err)
	upheld := 0
	for _, e := range epochs {
		for _, s := range e.Samples {
			if s.Status == types.SampleStatus_SAMPLE_STATUS_UPHELD {
				upheld++
			}
		}
	}
	require.Positive(t, upheld)
	records, err := w.WorkerRecords(ctx, "", "")
	require.NoError(t, err)
	verdicts := uint64(0)
	for _, r := range records {
		key := work.PublicKey(r.Key)
		for _, a := range auditors {
			if key == a {
				verdicts += r.Verdicts
				require.Zero(t, r.VerdictsMissed, "an auditor was silent")
				require.Equal(t, params.MinWorkerBond, r.Bond, "and lost for it")
			}
		}
		if key == doer {
			require.Positive(t, r.AuditsPassed)
		}
	}
	require.Positive(t, verdicts)
}
