// Command localcrawl runs the crawler without the network: the same plan and the same
// exchanges, without leases, receipts, audits and money. It is what the network's cost is
// measured against.
//
//	go run ./bench/localcrawl -dir DIR [-pages N] [-parallel N] URL...
//
// It prints one JSON object.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/local"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/netguard"
)

func main() {
	dir := flag.String("dir", "", "empty directory for the state and the pages")
	pages := flag.Uint64("pages", 0, "stop after so many pages; 0 for all")
	parallel := flag.Int("parallel", 4, "bundles at a time: as many as the network has workers")
	flag.Parse()
	if err := run(*dir, *pages, *parallel, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "localcrawl:", err)
		os.Exit(1)
	}
}

type report struct {
	Pages      uint64            `json:"pages"`
	Exchanges  uint64            `json:"exchanges"`
	Seconds    float64           `json:"seconds"`
	PerSecond  float64           `json:"pages_per_second"`
	CPUSeconds float64           `json:"cpu_seconds"`
	PerCPU     float64           `json:"pages_per_cpu_second"`
	Counts     map[string]uint64 `json:"counts"`
}

func run(dir string, pages uint64, parallel int, seeds []string) (err error) {
	if dir == "" {
		return errors.New("-dir is not given")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	spec, err := crawl.NewSpec(seeds...)
	if err != nil {
		return err
	}
	spec.MaxPages, spec.Sitemaps = pages, true
	encoded, err := crawl.EncodeSpec(spec)
	if err != nil {
		return err
	}
	store, err := artifact.NewMemory(artifact.Options{})
	if err != nil {
		return err
	}
	guard := &netguard.Guard{AllowLoopback: true}
	pf, _ := os.Create("/tmp/crawlbench/cpu.prof"); pprof.StartCPUProfile(pf); defer pprof.StopCPUProfile()
	kind := crawl.New()
	defer kind.Close()
	stats, err := local.Run(ctx, kind, encoded, local.Options{
		Env:          work.Env{Now: time.Now, Rand: rand.Reader, Blobs: store, Dial: guard.Dial, Log: slog.New(slog.DiscardHandler)},
		AllowPrivate: func(string) bool { return true },
		Parallel:     parallel,
		Dir:          filepath.Join(dir, "state"),
	})
	if err != nil {
		return err
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return err
	}
	cpu := time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
	n := stats.Counts["pages"]
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(report{
		Pages: n, Exchanges: stats.Units, Seconds: stats.Elapsed.Seconds(), PerSecond: float64(n) / stats.Elapsed.Seconds(),
		CPUSeconds: cpu, PerCPU: float64(n) / cpu, Counts: stats.Counts,
	})
}
