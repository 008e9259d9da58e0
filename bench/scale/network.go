package main

import (
	"fmt"
	"math"
)

// given is what the sums go by: what was measured elsewhere, and what a cell's machine is.
// The defaults name where they come from.
type given struct {
	// Of one gateway, by bench/load (-load FILE takes them from its JSON).
	CyclesPerCore float64 `json:"cycles_per_core"`      // leases and receipts a second
	Handshake     float64 `json:"handshake_seconds"`    // of a gateway's processor, a connection
	PerWorker     float64 `json:"bytes_per_worker"`     // of memory, connected and working
	Written       float64 `json:"written_per_receipt"`  // bytes to the disk
	Kept          float64 `json:"kept_per_receipt"`     // bytes on the disk
	Plane         float64 `json:"plane_bytes_per_task"` // lease and receipt on the wire

	// A cell's machine.
	Cores       float64 `json:"cell_cores"`
	Network     float64 `json:"cell_network"` // bytes a second
	Disk        float64 `json:"cell_disk"`    // bytes written a second, in the long run
	Connections float64 `json:"cell_connections"`

	// The ledger: parameters of ledger/genesis and x/work, gas as a network of one machine used it.
	BlockSeconds float64 `json:"block_seconds"`
	BlockBytes   float64 `json:"block_bytes"`
	BlockGas     float64 `json:"block_gas"`
	ClaimGas     float64 `json:"claim_gas"`  // of one more worker in a MsgClaim, its proof's bytes not counted
	SampleGas    float64 `json:"sample_gas"` // of one more sample: opened, three verdicts committed and revealed
	CommitGas    float64 `json:"commit_gas"`
	BaseGas      float64 `json:"base_gas"` // of a transaction
	MaxSamples   float64 `json:"max_samples"`
	Auditors     int     `json:"auditors"`

	// The crawl.
	Pages     float64 `json:"pages"`
	Days      float64 `json:"days"`
	PageBytes float64 `json:"page_bytes"` // stored, compressed
	AuditRate float64 `json:"audit_rate"`
	Epoch     float64 `json:"epoch_seconds"`
	Workers   float64 `json:"workers"`
}

func defaults() given {
	return given{
		CyclesPerCore: 4000, Handshake: 0.0008, PerWorker: 120 << 10, Written: 4000, Kept: 500, Plane: 700,
		Cores: 16, Network: 25e9 / 8, Disk: 1e9, Connections: 50_000,
		BlockSeconds: 2, BlockBytes: 4 << 20, BlockGas: 40_000_000, ClaimGas: 25_000, SampleGas: 220_000, CommitGas: 123_000, BaseGas: 60_000, MaxSamples: 32, Auditors: 3,
		Pages: 100e9, Days: 3, PageBytes: 30e3, AuditRate: 0.01, Epoch: 600, Workers: 2_000_000,
	}
}

// need is how much of something the crawl wants, and how far one unit of it goes.
type need struct {
	Part  string  `json:"part"`
	Want  string  `json:"want"`
	One   string  `json:"one"`
	Count float64 `json:"count"` // cells, or shares of the one ledger: above 1 it gives way
	Cells bool    `json:"cells"`
}

// network compares a crawl with what there is, part by part.
type network struct {
	Given  given   `json:"given"`
	Rate   float64 `json:"pages_per_second"`
	Needs  []need  `json:"needs"`
	Cells  float64 `json:"cells"` // the most that any part wants
	First  string  `json:"gives_way_first"`
	Ledger ledger  `json:"ledger"`
	Storm  []storm `json:"reconnect_storm"`
}

type ledger struct {
	EpochsPerDay   float64 `json:"epochs_per_day"`
	CommitPerDay   float64 `json:"commit_bytes_per_day"`
	ClaimBytes     float64 `json:"claim_bytes"`
	ClaimsPerBlock float64 `json:"claims_per_block"`
	ClaimLimit     string  `json:"claims_limited_by"`
	ClaimAll       float64 `json:"claim_all_seconds"` // every worker once
	SampleBytes    float64 `json:"sample_bytes"`
	SamplesPerSec  float64 `json:"samples_per_second"` // that fit the blocks
	SampleLimit    string  `json:"samples_limited_by"`
	Effective      float64 `json:"effective_audit_rate"` // with the parameters of now
	Possible       float64 `json:"possible_audit_rate"`  // if the blocks held nothing else
	YearWorkers    float64 `json:"state_bytes_workers"`
	YearEpochs     float64 `json:"state_bytes_epochs_year"`
	YearClaims     float64 `json:"state_bytes_claims_year"` // one job a day in which all take part
}

type storm struct {
	Workers float64 `json:"workers"` // of one cell
	Cores   float64 `json:"cores"`
	Seconds float64 `json:"seconds"` // until all have shaken hands, the processor alone
}

func per(v, unit float64, name string) string { return fmt.Sprintf("%.3g %s", v/unit, name) }

func reckon(g given, e epoch) network {
	n := network{Given: g, Rate: g.Pages / (g.Days * 86_400)}
	cells := func(part string, want, one float64, unit float64, name string) {
		n.Needs = append(n.Needs, need{part, per(want, unit, name), per(one, unit, name), math.Ceil(want / one), true})
	}
	cells("connections", g.Workers, g.Connections, 1, "workers")
	cells("leases and receipts", n.Rate, g.CyclesPerCore*g.Cores, 1, "cycles/s")
	cells("the plane's bandwidth", n.Rate*g.Plane, g.Network, 1e6, "MB/s")
	cells("database writes", n.Rate*g.Written, g.Disk, 1e6, "MB/s")
	cells("pages through gateways' stores", n.Rate*g.PageBytes, g.Network, 1e6, "MB/s")
	for _, x := range n.Needs {
		if x.Count > n.Cells {
			n.Cells = x.Count
		}
	}
	n.Ledger = g.ledger(n.Rate, n.Cells, e)
	share := func(part string, want, one float64, unit float64, name string) {
		n.Needs = append(n.Needs, need{part, per(want, unit, name), per(one, unit, name), want / one, false})
	}
	epochs := n.Cells / g.Epoch
	share("epochs on the ledger", epochs*g.CommitGas, g.BlockGas/g.BlockSeconds, 1e3, "kgas/s")
	share("claims of all workers, once a day", g.Workers/86_400, n.Ledger.ClaimsPerBlock/g.BlockSeconds, 1, "claims/s")
	share(fmt.Sprintf("audits of %.3g %% of the receipts", g.AuditRate*100), n.Rate*g.AuditRate, n.Ledger.SamplesPerSec, 1, "samples/s")
	share(fmt.Sprintf("the same within %g samples an epoch", g.MaxSamples), n.Rate*g.AuditRate, epochs*g.MaxSamples, 1, "samples/s")
	worst := 1.0
	n.First = "nothing: every part suffices"
	for _, x := range n.Needs {
		if !x.Cells && x.Count > worst {
			worst, n.First = x.Count, fmt.Sprintf("%s: %.3g times too much", x.Part, x.Count)
		}
	}
	for _, cores := range []float64{2, g.Cores} {
		n.Storm = append(n.Storm, storm{g.Connections, cores, g.Connections * g.Handshake / cores})
	}
	return n
}

func (g given) ledger(rate, cells float64, e epoch) ledger {
	l := ledger{EpochsPerDay: cells * 86_400 / g.Epoch}
	l.CommitPerDay = l.EpochsPerDay * float64(e.CommitBytes)
	l.ClaimBytes = e.ProofBytes
	byBytes := g.BlockBytes / l.ClaimBytes
	// Ten gas a byte is what the ledger takes for a transaction's size.
	byGas := g.BlockGas / (g.ClaimGas + 10*l.ClaimBytes + g.BaseGas/100)
	l.ClaimsPerBlock, l.ClaimLimit = math.Floor(min(byBytes, byGas)), limitedBy(byBytes, byGas)
	l.ClaimAll = g.Workers / l.ClaimsPerBlock * g.BlockSeconds
	l.SampleBytes = float64(sampleBytes(e.sample.receipt, e.sample.proof, g.Auditors))
	byBytes = g.BlockBytes / l.SampleBytes
	byGas = g.BlockGas / (g.SampleGas + 10*l.SampleBytes)
	l.SamplesPerSec, l.SampleLimit = min(byBytes, byGas)/g.BlockSeconds, limitedBy(byBytes, byGas)
	l.Effective = min(g.AuditRate, cells/g.Epoch*g.MaxSamples/rate)
	l.Possible = l.SamplesPerSec / rate
	// A key and a record in the tree cost some 120 bytes more than the record.
	const node = 120
	l.YearWorkers = g.Workers * float64(workerRecord()+node)
	l.YearEpochs = 365 * l.EpochsPerDay * float64(epochRecord(int(g.MaxSamples), g.Auditors, e.ReceiptBytes)+node)
	l.YearClaims = 365 * g.Workers * float64(claimedRecord(1<<30)+node)
	return l
}

func limitedBy(byBytes, byGas float64) string {
	if byBytes < byGas {
		return "bytes"
	}
	return "gas"
}
