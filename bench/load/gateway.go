package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// The gateway's process takes commands as lines of JSON on its standard input and answers
// each with a line on its standard output.
type command struct {
	Do   string `json:"do"`   // stats, restart or finish
	Path string `json:"path"` // finish: where the workers' record is
}

type answer struct {
	Error string `json:"error,omitempty"`
	// The first line, when the gateway serves.
	URL string `json:"url,omitempty"`
	Key string `json:"key,omitempty"`
	// Of every answer.
	Connected int     `json:"connected"`
	RSS       int64   `json:"rss"`
	CPU       float64 `json:"cpu"` // seconds so far
	Heap      uint64  `json:"heap"`
	Routines  int     `json:"goroutines"`
	Height    int64   `json:"height"`
	Epochs    uint64  `json:"epochs"`
	Written   int64   `json:"written"` // bytes to the disk so far
	Kept      int64   `json:"kept"`    // bytes of the database
	// Of finish.
	Check *verdict `json:"check,omitempty"`
}

// gatewayConfig is the -gateway process's argument.
type gatewayConfig struct {
	Dir     string `json:"dir"`
	Workers int    `json:"workers"`
	Batch   int    `json:"batch"`
	Body    int    `json:"body"`
	Task    int64  `json:"task_ms"`
	Epoch   int64  `json:"epoch_blocks"`
}

// gateway is what is measured: the real plane and the real scheduler, as the gateway's own
// process puts them together, on a ledger of this process.
type gateway struct {
	cfg    gatewayConfig
	key    work.PrivateKey
	ledger *ledger
	s      *scheduler.Scheduler
	plane  *plane.Server
	addr   string
	log    *slog.Logger
}

// handler fills in what the gateway adds to the scheduler's answers.
type handler struct{ *scheduler.Scheduler }

// Hello names an artifact store that nobody here uses.
func (h handler) Hello(ctx context.Context, k work.PublicKey, r plane.HelloRequest) (plane.HelloReply, error) {
	reply, err := h.Scheduler.Hello(ctx, k, r)
	reply.Artifacts, reply.Token = "http://127.0.0.1:1", "none"
	return reply, err
}

func serveGateway(argument string) error {
	var cfg gatewayConfig
	if err := json.Unmarshal([]byte(argument), &cfg); err != nil {
		return fmt.Errorf("the gateway's argument: %w", err)
	}
	g := &gateway{cfg: cfg, key: gatewayKey(), log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := g.start(ctx); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	first := g.stats()
	first.URL, first.Key = g.url(), g.key.Public().String()
	if err := out.Encode(first); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return fmt.Errorf("a command: %w", err)
		}
		a := g.do(ctx, c)
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	g.plane.Close()
	return errors.Join(in.Err(), g.s.Close())
}

func (g *gateway) do(ctx context.Context, c command) answer {
	var err error
	var check *verdict
	switch c.Do {
	case "stats":
	case "settle": // memory: what is garbage goes back to the system first
		debug.FreeOSMemory()
	case "restart":
		g.plane.Close()
		err = g.listen()
	case "finish":
		check, err = g.finish(ctx, c.Path)
	default:
		err = fmt.Errorf("no command %q", c.Do)
	}
	a := g.stats()
	a.Check = check
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

func (g *gateway) start(ctx context.Context) error {
	store, err := artifact.OpenFS(filepath.Join(g.cfg.Dir, "artifacts"), artifact.Options{})
	if err != nil {
		return err
	}
	if _, err := store.Put(ctx, resultBody); err != nil {
		return err
	}
	b, err := work.Encode(spec{Bundle: uint64(g.cfg.Batch), Body: uint64(g.cfg.Body), Time: uint64(g.cfg.Task)})
	if err != nil {
		return err
	}
	digest, err := store.Put(ctx, b)
	if err != nil {
		return err
	}
	var keys []work.PublicKey
	for i := range g.cfg.Workers {
		keys = append(keys, workerKey(i).Public())
	}
	g.ledger = newLedger(keys, work.Job{
		ID: theJob, Buyer: "buyer", Gateway: "gateway", Kind: kindName, Spec: digest, Escrow: amount(), Price: amount().SetInt64(1), WorkerPrice: amount().SetInt64(1),
		AuditBps: 100, EpochBlocks: g.cfg.Epoch, OpenedHeight: 1, ExpiryHeight: 1 << 40, Status: work.JobOpen,
	})
	go g.ledger.run(ctx, time.Second)
	metrics := prometheus.NewRegistry()
	g.s, err = scheduler.Open(scheduler.Config{
		Chain: chainID, Key: g.key, Ledger: g.ledger, Kinds: []work.Kind{kind{}}, Artifacts: store, Dir: filepath.Join(g.cfg.Dir, "scheduler"),
		Nudge: func(k work.PublicKey) {
			if g.plane != nil {
				g.plane.Nudge(k)
			}
		},
		AllowPrivate: func(string) bool { return true }, ClaimForWorkers: true, Log: g.log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	if err := g.listen(); err != nil {
		return err
	}
	for {
		p, err := g.s.Progress(theJob)
		if err == nil && p.Phase == scheduler.PhaseRunning {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// listen starts the plane, at the same address each time.
func (g *gateway) listen() error {
	addr := g.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	p, err := plane.Listen(plane.Config{
		Listen: addr, Gateway: g.key.Public(), Handler: handler{g.s}, Log: g.log,
		Authorize: func(ctx context.Context, k work.PublicKey) error {
			_, err := g.ledger.Worker(ctx, k)
			return err
		},
	})
	if err != nil {
		return err
	}
	g.plane = p
	g.addr = strings.TrimPrefix(g.url(), "nats://")
	return nil
}

func (g *gateway) url() string { return g.plane.URLs()[0] }

func (g *gateway) stats() answer {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	g.ledger.mu.Lock()
	height, epochs := g.ledger.height, g.ledger.job.Epochs
	g.ledger.mu.Unlock()
	return answer{
		Connected: len(g.plane.Connected()), RSS: residentBytes(), CPU: processor().Seconds(),
		Heap: m.HeapInuse + m.StackInuse, Routines: runtime.NumGoroutine(), Height: height, Epochs: epochs,
		Written: writtenBytes(), Kept: sizeOf(filepath.Join(g.cfg.Dir, "scheduler")),
	}
}

// writtenBytes is what this process has caused to be written to disks.
func writtenBytes() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "\nwrite_bytes: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// sizeOf adds up a directory's files. Some go while it looks, which does not matter.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// processor is what this process has used of all cores.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentBytes is this process's resident memory.
func residentBytes() int64 {
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return 0
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// Keys follow from a number, so that both processes have the same ones without telling.
func workerKey(i int) work.PrivateKey { return keyOf("worker", i) }

func gatewayKey() work.PrivateKey { return keyOf("gateway", 0) }

func keyOf(what string, i int) work.PrivateKey {
	seed := artifact.Sum(fmt.Appendf(nil, "cantus bench load %s %d", what, i))
	k, err := work.PrivateKeyFromSeed(seed[:])
	if err != nil {
		panic(err) // a digest has the length of a seed
	}
	return k
}
