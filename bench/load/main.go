// Command load puts thousands of workers on one gateway and measures it.
//
//	go run ./bench/load [-for 10m] [-workers 10000] [-batch 20] [-think 30s] [-json FILE]
//
// One process is the gateway: the real plane and the real scheduler with its database on
// disk, on a ledger double that makes a block a second, takes epochs, draws samples and pays
// claims. Another, this one, is the workers: a client each over a socket of its own, which
// leases a batch, thinks as long as the tasks would take, signs the receipts and reports
// them. Results are not uploaded: bulk bytes go past the plane on a real network too.
//
// In order: connect all, wait, measure memory; work, measure cycles and latencies; drop
// all connections at once and see how long until all are back; end the job, and compare
// what the workers were told with what the ledger has: every acknowledged receipt in an
// epoch, once, and every voucher equal to what was committed and paid. If that fails, the
// exit status is 1.
//
//	main.go       the order of things, and the report
//	workers.go    the simulated workers
//	gateway.go    the gateway's process
//	ledger.go     its ledger
//	kind.go       load/1: tasks that never end
//	check.go      what must hold at the end
//	histogram.go  latencies
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

type options struct {
	duration time.Duration
	workers  int
	batch    int
	think    time.Duration
	body     int
	epoch    int64
	dir      string
	json     string
	storm    bool
}

func main() {
	var o options
	gatewayArg := flag.String("gateway", "", "run as the gateway's process (internal)")
	flag.DurationVar(&o.duration, "for", 10*time.Minute, "how long to measure")
	flag.IntVar(&o.workers, "workers", 10_000, "workers")
	flag.IntVar(&o.batch, "batch", 20, "tasks in a lease")
	flag.DurationVar(&o.think, "think", 40*time.Second, "time that a batch takes its worker, from half to one and a half of this")
	flag.IntVar(&o.body, "body", 120, "bytes of a task")
	flag.Int64Var(&o.epoch, "epoch", 30, "seconds of an epoch")
	flag.StringVar(&o.dir, "dir", "", "directory for the gateway's state; empty for a temporary one")
	flag.StringVar(&o.json, "json", "", "also write the figures to this file")
	flag.BoolVar(&o.storm, "storm", true, "drop all connections at the end and wait until they are back")
	flag.Parse()
	var err error
	if *gatewayArg != "" {
		err = serveGateway(*gatewayArg)
	} else {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// figures are the report.
type figures struct {
	Machine string        `json:"machine"`
	Date    string        `json:"date"`
	Load    string        `json:"load_before"` // of the machine, by others
	Workers int           `json:"workers"`
	Batch   int           `json:"batch"`
	Think   time.Duration `json:"think_ns"`

	ConnectSeconds float64 `json:"connect_seconds"`
	ConnectCPU     float64 `json:"connect_gateway_cpu_seconds"`
	RSSEmpty       int64   `json:"rss_empty"`
	RSSIdle        int64   `json:"rss_idle"`
	RSSPeak        int64   `json:"rss_peak"`
	PerWorkerIdle  int64   `json:"bytes_per_idle_worker"`
	PerWorkerPeak  int64   `json:"bytes_per_working_worker"`

	Seconds  float64        `json:"seconds"`
	Cycles   uint64         `json:"cycles"`
	PerSec   float64        `json:"cycles_per_second"`
	Offered  float64        `json:"offered_cycles_per_second"`
	Lease    latency        `json:"lease"`
	Report   latency        `json:"report"`
	Refused  uint64         `json:"refused"`
	Failures map[string]int `json:"failed_requests"`

	// Of the gateway's database: what it wrote to the disk and what it keeps, a receipt.
	Written float64 `json:"written_bytes_per_receipt"`
	Kept    float64 `json:"kept_bytes_per_receipt"`

	GatewayCPU float64 `json:"gateway_cores"`
	WorkersCPU float64 `json:"workers_cores"`

	Storm  *storm   `json:"storm,omitempty"`
	Result *verdict `json:"result"`
}

type storm struct {
	Half float64 `json:"half_back_seconds"`
	Most float64 `json:"p99_back_seconds"`
	All  float64 `json:"all_back_seconds"`
	CPU  float64 `json:"gateway_cpu_seconds"`
}

func run(o options) (err error) {
	if o.workers < 1 || o.batch < 1 || o.batch > 200 || o.body < 8 {
		return errors.New("want -workers from 1, -batch from 1 to 200 and -body from 8")
	}
	if err := enoughFiles(o.workers); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "cantus-load-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	r := figures{Machine: machine(), Date: time.Now().UTC().Format("2006-01-02 15:04"), Load: loadAverage(), Workers: o.workers, Batch: o.batch, Think: o.think}
	cfg := gatewayConfig{Dir: o.dir, Workers: o.workers, Batch: o.batch, Body: o.body, Epoch: o.epoch, Task: max(1000, 4*o.think.Milliseconds()/int64(o.batch))}
	gw, err := startProcess(ctx, cfg)
	if err != nil {
		return err
	}
	defer gw.stop()
	f, err := newFleet(gw.first, cfg, o)
	if err != nil {
		return err
	}
	defer f.close()

	say("connecting %d workers", o.workers)
	empty, err := gw.ask(command{Do: "settle"})
	if err != nil {
		return err
	}
	began := time.Now()
	if err := f.connect(ctx, o.workers); err != nil {
		return err
	}
	r.ConnectSeconds = time.Since(began).Seconds()
	idle, err := gw.ask(command{Do: "settle"})
	if err != nil {
		return err
	}
	r.ConnectCPU = idle.CPU - empty.CPU
	r.RSSEmpty, r.RSSIdle = empty.RSS, idle.RSS
	r.PerWorkerIdle = (idle.RSS - empty.RSS) / int64(o.workers)

	f.begin(ctx)
	// What is measured is the run, not its start: everybody has had a turn by then.
	warm := o.think * 3 / 2
	say("working; measured for %v after %v", o.duration, warm)
	if !sleep(ctx, warm) {
		return ctx.Err()
	}
	if err := r.measure(ctx, gw, f, o); err != nil {
		return err
	}
	if o.storm {
		say("dropping all connections")
		if r.Storm, err = stormOf(ctx, gw, f, o.workers); err != nil {
			return err
		}
	}
	say("ending the job")
	f.end()
	r.Refused, r.Failures = f.refused.Load(), f.failures
	held := filepath.Join(o.dir, "held")
	if err := f.write(held); err != nil {
		return err
	}
	last, err := gw.ask(command{Do: "finish", Path: held})
	if err != nil {
		return err
	}
	r.Result = last.Check
	r.Kept = float64(last.Kept) / float64(max(1, r.Result.Sealed))
	if o.json != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	if len(r.Result.Wrong) > 0 {
		return fmt.Errorf("something was lost or paid twice: %s", strings.Join(r.Result.Wrong, "; "))
	}
	return nil
}

func newFleet(first answer, cfg gatewayConfig, o options) (*fleet, error) {
	key, err := work.ParseKey(first.Key)
	if err != nil {
		return nil, err
	}
	b, err := work.Encode(spec{Bundle: uint64(cfg.Batch), Body: uint64(cfg.Body), Time: uint64(cfg.Task)})
	return &fleet{url: first.URL, gateway: key, think: o.think, result: artifact.Sum(resultBody), spec: b}, err
}

// measure fills in what the run shows.
func (r *figures) measure(ctx context.Context, gw *process, f *fleet, o options) error {
	start, err := gw.ask(command{Do: "stats"})
	if err != nil {
		return err
	}
	began, own := time.Now(), processor()
	f.measuring.Store(true)
	r.RSSPeak = start.RSS
	for deadline := began.Add(o.duration); time.Now().Before(deadline); {
		if !sleep(ctx, min(5*time.Second, time.Until(deadline))) {
			return ctx.Err()
		}
		now, err := gw.ask(command{Do: "stats"})
		if err != nil {
			return err
		}
		r.RSSPeak = max(r.RSSPeak, now.RSS)
	}
	f.measuring.Store(false)
	end, err := gw.ask(command{Do: "stats"})
	if err != nil {
		return err
	}
	r.Seconds = time.Since(began).Seconds()
	r.Cycles = f.cycles.Load()
	r.PerSec = float64(r.Cycles) / r.Seconds
	r.Offered = float64(o.workers*o.batch) / o.think.Seconds()
	r.Lease, r.Report = f.leases.short(), f.reports.short()
	r.GatewayCPU = (end.CPU - start.CPU) / r.Seconds
	r.WorkersCPU = (processor() - own).Seconds() / r.Seconds
	r.Written = float64(end.Written-start.Written) / float64(max(1, r.Cycles))
	r.PerWorkerPeak = (r.RSSPeak - r.RSSEmpty) / int64(o.workers)
	return nil
}

// stormOf restarts the plane and waits until every worker has said hello again.
func stormOf(ctx context.Context, gw *process, f *fleet, workers int) (*storm, error) {
	f.hellos.Store(0)
	before, err := gw.ask(command{Do: "restart"})
	if err != nil {
		return nil, err
	}
	var s storm
	began := time.Now()
	for n := 0; n < workers; {
		if !sleep(ctx, 20*time.Millisecond) {
			return nil, ctx.Err()
		}
		n = int(f.hellos.Load())
		past := time.Since(began).Seconds()
		if s.Half == 0 && n >= workers/2 {
			s.Half = past
		}
		if s.Most == 0 && n >= workers*99/100 {
			s.Most = past
		}
		s.All = past
		if past > 600 {
			return nil, fmt.Errorf("only %d of %d workers are back after ten minutes", n, workers)
		}
	}
	after, err := gw.ask(command{Do: "stats"})
	s.CPU = after.CPU - before.CPU
	return &s, err
}

func (r figures) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	mib := func(b int64) string { return fmt.Sprintf("%.0f MiB", float64(b)/(1<<20)) }
	kib := func(b int64) string { return fmt.Sprintf("%.1f KiB", float64(b)/1024) }
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("machine", "%s; load before %s; %s", r.Machine, r.Load, r.Date)
	row("workers", "%d, batches of %d, %v each", r.Workers, r.Batch, r.Think)
	row("all connected in", "%.1f s, %.2f ms of the gateway's processor time each", r.ConnectSeconds, r.ConnectCPU*1000/float64(r.Workers))
	row("cycles", "%.0f a second over %.0f s (offered: %.0f)", r.PerSec, r.Seconds, r.Offered)
	row("lease", "p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms (%d)", r.Lease.P50, r.Lease.P99, r.Lease.P999, r.Lease.Max, r.Lease.Count)
	row("report", "p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms (%d)", r.Report.P50, r.Report.P99, r.Report.P999, r.Report.Max, r.Report.Count)
	row("gateway's memory", "%s empty, %s with all connected, %s at most", mib(r.RSSEmpty), mib(r.RSSIdle), mib(r.RSSPeak))
	row("of these each worker", "%s idle, %s working", kib(r.PerWorkerIdle), kib(r.PerWorkerPeak))
	row("processor", "gateway %.2f cores, all workers %.2f, of %d", r.GatewayCPU, r.WorkersCPU, runtime.NumCPU())
	row("database", "%.0f bytes written a receipt, %.0f kept", r.Written, r.Kept)
	if s := r.Storm; s != nil {
		row("reconnect storm", "half back after %.1f s, 99%% after %.1f s, all after %.1f s; %.1f s of the gateway's processor time", s.Half, s.Most, s.All, s.CPU)
	}
	row("failed requests", "%v; receipts refused: %d", r.Failures, r.Refused)
	v := r.Result
	row("acknowledged", "%d receipts; %d sealed in %d epochs", v.Acknowledged, v.Sealed, v.Epochs)
	row("paid", "%d units committed, %d claimed, %d vouchers; settled and claimed %.1f s after the end", v.Units, v.Claimed, v.Vouchers, v.Seconds)
	if len(v.Wrong) == 0 {
		row("lost or paid twice", "nothing")
	} else {
		row("WRONG", "%s", strings.Join(v.Wrong, "; "))
	}
	return t.Flush()
}

// process is the gateway's process.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	first answer
}

func startProcess(ctx context.Context, cfg gatewayConfig) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-gateway", string(arg))
	cmd.Stderr = os.Stderr
	// Ctrl-C reaches this process alone, which ends the other.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // the parent-death signal is the thread's
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the gateway's process: %w", err)
	}
	p := &process{cmd: cmd, in: in, out: bufio.NewReader(out)}
	if p.first, err = p.answer(); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) ask(c command) (answer, error) {
	b, err := json.Marshal(c)
	if err == nil {
		_, err = p.in.Write(append(b, '\n'))
	}
	if err != nil {
		return answer{}, fmt.Errorf("ask the gateway's process: %w", err)
	}
	return p.answer()
}

func (p *process) answer() (answer, error) {
	var a answer
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		return a, fmt.Errorf("the gateway's process: %w", err)
	}
	return a, nil
}

func (p *process) stop() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // what it had to say it said in its answers
}

// enoughFiles sees that each process may open a socket for each worker, and that the
// machine has that many ports from one address to another.
func enoughFiles(workers int) error {
	const ports = 28_000
	if workers > ports {
		return fmt.Errorf("%d workers: one address has some %d ports to connect from", workers, ports)
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("how many files may be open: %w", err)
	}
	if want := uint64(workers + 500); l.Cur < want {
		l.Cur = l.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Max < want {
			return fmt.Errorf("%d files may be open, %d are needed: raise the limit (ulimit -n) or give fewer -workers", l.Max, want)
		}
	}
	return nil
}

func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		lines := strings.Split(string(b), "\n")
		if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "model name") }); i >= 0 {
			if _, name, ok := strings.Cut(lines[i], ":"); ok {
				model = strings.TrimSpace(name)
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s", runtime.NumCPU(), model, runtime.Version())
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
