// Command scale says what two million workers cost, and which part of the network gives way
// first when they crawl the whole web.
//
//	go run ./bench/scale [-workers 2000000] [-load FILE] [-json FILE]
//
// It measures, with the product's own code: an epoch's two roots and the proofs of
// everybody's pay, for 4 workers and for two million, in one tree and in cells; the bytes of
// its commitment on the ledger; proofs verified; who moves when a cell comes or goes. From
// these, from what bench/load measured of one gateway (-load its JSON), and from the
// ledger's parameters it reckons what a crawl of 100 billion pages in three days takes.
//
//	main.go     the order of things, and the report
//	epoch.go    what is measured
//	wire.go     the ledger's messages, for their size
//	network.go  what is reckoned
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

type report struct {
	Machine string  `json:"machine"`
	Date    string  `json:"date"`
	Load    string  `json:"load_before"`
	Epochs  []epoch `json:"epochs"`
	Moves   []move  `json:"moves"`
	Network network `json:"network"`
	From    string  `json:"gateway_figures_from"`
}

func main() {
	workers := flag.Int("workers", 2_000_000, "workers of the large network")
	perCell := flag.Int("cell", 50_000, "workers that a cell takes")
	loadFile := flag.String("load", "", "figures of a gateway, as bench/load -json wrote them")
	jsonFile := flag.String("json", "", "also write the figures to this file")
	flag.Parse()
	if err := run(*workers, *perCell, *loadFile, *jsonFile); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(workers, perCell int, loadFile, jsonFile string) error {
	if workers < 4 || perCell < 1 {
		return fmt.Errorf("%d workers in cells of %d: want at least 4 and 1", workers, perCell)
	}
	r := report{
		Machine: fmt.Sprintf("%d cores, %s", runtime.NumCPU(), runtime.Version()), Date: time.Now().UTC().Format("2006-01-02 15:04"),
		Load: firstWord("/proc/loadavg"), From: "defaults: measure them with bench/load",
	}
	cells := max(1, (workers+perCell-1)/perCell)
	for _, n := range [][2]int{{4, 1}, {workers, 1}, {workers, cells}} {
		e, err := measureEpoch(n[0], n[1])
		if err != nil {
			return err
		}
		r.Epochs = append(r.Epochs, e)
	}
	moving := min(workers, 200_000)
	r.Moves = []move{measureMove(moving, cells, cells+1), measureMove(moving, cells+1, cells), measureMove(moving, max(1, cells/2), cells)}
	g := defaults()
	g.Workers, g.Connections = float64(workers), float64(perCell)
	if loadFile != "" {
		if err := g.read(loadFile); err != nil {
			return err
		}
		r.From = loadFile
	}
	r.Network = reckon(g, r.Epochs[len(r.Epochs)-1])
	if jsonFile != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(jsonFile, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	return r.print(os.Stdout)
}

// read takes what bench/load measured.
func (g *given) read(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var f struct {
		Workers int     `json:"workers"`
		Cycles  float64 `json:"cycles_per_second"`
		Cores   float64 `json:"gateway_cores"`
		Connect float64 `json:"connect_gateway_cpu_seconds"`
		Memory  float64 `json:"bytes_per_working_worker"`
		Written float64 `json:"written_bytes_per_receipt"`
		Kept    float64 `json:"kept_bytes_per_receipt"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if f.Workers == 0 || f.Cycles <= 0 || f.Cores <= 0 {
		return fmt.Errorf("%s: not the figures of bench/load", path)
	}
	g.CyclesPerCore, g.Handshake, g.PerWorker = f.Cycles/f.Cores, f.Connect/float64(f.Workers), f.Memory
	if f.Written > 0 {
		g.Written = f.Written
	}
	if f.Kept > 0 {
		g.Kept = f.Kept
	}
	return nil
}

func firstWord(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	w, _, _ := strings.Cut(string(b), " ")
	return w
}

func bytesOf(n float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for n >= 1000 && i < len(units)-1 {
		n /= 1000
		i++
	}
	return fmt.Sprintf("%.3g %s", n, units[i])
}

func (r report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(cells ...any) {
		s := make([]string, len(cells))
		for i, c := range cells {
			s[i] = fmt.Sprint(c)
		}
		fmt.Fprintln(t, strings.Join(s, "\t"))
	}
	fmt.Fprintf(w, "%s, load before %s, %s\n\n", r.Machine, r.Load, r.Date)
	line("AN EPOCH: WORKERS", "CELLS", "RECEIPTS ROOT", "PAY ROOT", "ALL PROOFS", "TOGETHER", "PROCESSOR", "MEMORY", "PROOF", "VERIFIED/S", "ON THE LEDGER")
	for _, e := range r.Epochs {
		line(e.Workers, e.Cells, fmt.Sprintf("%.2f s", e.Receipts), fmt.Sprintf("%.2f s", e.Pay), fmt.Sprintf("%.2f s", e.Proofs), fmt.Sprintf("%.2f s", e.Total), fmt.Sprintf("%.2f s", e.CPU),
			bytesOf(float64(e.Peak)), bytesOf(e.ProofBytes), fmt.Sprintf("%.0f", e.VerifyPerSec), fmt.Sprintf("%d B", e.LedgerBytes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	last := r.Epochs[len(r.Epochs)-1]
	fmt.Fprintf(w, "\ncells have %d to %d workers; finding the cell of each takes %.2f s\n\n", last.Smallest, last.Largest, last.Assign)
	line("CELLS", "WORKERS THAT MOVE", "AT LEAST", "BETWEEN CELLS THAT STAY")
	for _, m := range r.Moves {
		line(fmt.Sprintf("%d → %d", m.From, m.To), fmt.Sprintf("%.2f %%", m.Moved*100), fmt.Sprintf("%.2f %%", m.Ideal*100), fmt.Sprintf("%.2f %%", m.Wrongly*100))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	n, l := r.Network, r.Network.Ledger
	fmt.Fprintf(w, "\n%.3g pages in %g days: %.0f pages/s; a gateway's figures from %s\n\n", n.Given.Pages, n.Given.Days, n.Rate, r.From)
	line("PART", "WANTED", "ONE HAS", "TAKES")
	for _, x := range n.Needs {
		takes := fmt.Sprintf("%.0f cells", x.Count)
		if !x.Cells {
			takes = fmt.Sprintf("%.3g of the ledger", x.Count)
		}
		line(x.Part, x.Want, x.One, takes)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nGIVES WAY FIRST: %s\n\n", n.First)
	line("cells", fmt.Sprintf("%.0f", n.Cells))
	line("commitments", fmt.Sprintf("%.0f a day, %s", l.EpochsPerDay, bytesOf(l.CommitPerDay)))
	line("a claim", fmt.Sprintf("%s; %.0f a block, limited by %s; all workers once: %.0f s", bytesOf(l.ClaimBytes), l.ClaimsPerBlock, l.ClaimLimit, l.ClaimAll))
	line("an audited sample", fmt.Sprintf("%s; %.0f a second fit, limited by %s", bytesOf(l.SampleBytes), l.SamplesPerSec, l.SampleLimit))
	line("audit rate", fmt.Sprintf("asked %.3g %%, with %g samples an epoch %.3g %%, at most %.3g %% if the blocks held nothing else", n.Given.AuditRate*100, n.Given.MaxSamples, l.Effective*100, l.Possible*100))
	line("the ledger's state", fmt.Sprintf("workers %s; after a year epochs %s, claims %s (a job a day with all of them)", bytesOf(l.YearWorkers), bytesOf(l.YearEpochs), bytesOf(l.YearClaims)))
	line("pages kept", bytesOf(n.Given.Pages*n.Given.PageBytes)+" in object stores; receipts "+bytesOf(n.Given.Pages*n.Given.Kept)+" in the cells' databases")
	for _, s := range n.Storm {
		line("reconnect storm", fmt.Sprintf("%.0f workers of a cell with %g cores: %.1f s of handshakes", s.Workers, s.Cores, s.Seconds))
	}
	return t.Flush()
}
