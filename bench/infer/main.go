// Command infer measures package exact/model beside llama.cpp, in one run, on the same
// synthetic models: tokens a second of prompts and of answers with one thread and two,
// sixteen answers at once, memory, the share of what the memory can deliver, and what
// receipts and audits cost. bench/infer.sh runs it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
)

const (
	promptTokens = 128
	answerTokens = 64
	streams      = 16
)

// figures are what one engine did with one model on so many threads.
type figures struct {
	Engine   string  `json:"engine"`
	Model    string  `json:"model"`
	Threads  int     `json:"threads"`
	Prompt   float64 `json:"prompt"`   // tokens a second
	Generate float64 `json:"generate"` // tokens a second, one answer
	Streams  float64 `json:"streams"`  // tokens a second, sixteen answers at once
	Memory   int64   `json:"memory"`   // bytes, the most that was resident
	Release  string  `json:"release,omitempty"`

	Bandwidth float64 `json:"bandwidth,omitempty"` // share of what reading all weights once a token may take at most
	Audit     float64 `json:"audit,omitempty"`     // seconds of a replay for each second of generating
	Receipt   float64 `json:"receipt,omitempty"`   // seconds of making a receipt for each second of generating
}

func main() {
	dir := flag.String("dir", "", "where the models are made and kept")
	node := flag.String("node", "", "directory with node-llama-cpp in its node_modules; empty to measure ours alone")
	only := flag.String("model", "", "110M or 1.1B; both if empty")
	one := flag.String("ours", "", "measure ours with this model's file, and print JSON (used by this command itself)")
	threads := flag.Int("threads", 0, "with -ours")
	out := flag.String("json", "", "also write all figures to this file")
	flag.Parse()
	var err error
	if *one != "" {
		err = measure(*one, *threads)
	} else {
		err = run(*dir, *node, *only, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/infer:", err)
		os.Exit(1)
	}
}

func run(dir, node, only, out string) error {
	if dir == "" {
		return errors.New("-dir: say where the models, some 2.5 GB, may be kept")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("machine  %d × %s, %s, kernel %s; load before %s; %s\n", runtime.NumCPU(), cpu(), runtime.Version(), kernel.Best().Name, load(), time.Now().UTC().Format("2006-01-02 15:04"))
	reads := map[int]float64{}
	for _, n := range []int{1, 2} {
		reads[n] = readBandwidth(n)
		fmt.Printf("memory   %.1f GB/s read by %d threads\n", reads[n]/1e9, n)
	}
	var all []figures
	for _, s := range shapes {
		if only != "" && only != s.name {
			continue
		}
		gguf := filepath.Join(dir, s.name+".gguf")
		ours := filepath.Join(dir, s.name+".cantus")
		if err := prepare(gguf, ours, s); err != nil {
			return fmt.Errorf("make the model %s: %w", s.name, err)
		}
		for _, n := range []int{1, 2} {
			if node != "" {
				f, err := child(exec.Command("node", "llama.mjs", gguf, strconv.Itoa(n), strconv.Itoa(promptTokens), strconv.Itoa(answerTokens), strconv.Itoa(streams)), node)
				if err != nil {
					return fmt.Errorf("llama.cpp with %s: %w", s.name, err)
				}
				f.Model, f.Threads = s.name, n
				// A Q8_0 weight takes 34/32 bytes.
				f.Bandwidth = f.Generate * float64(s.active()) * blockBytes / block / reads[n]
				all = append(all, f)
			}
			f, err := child(exec.Command(self, "-ours", ours, "-threads", strconv.Itoa(n)), "")
			if err != nil {
				return fmt.Errorf("ours with %s: %w", s.name, err)
			}
			f.Model, f.Threads = s.name, n
			f.Bandwidth = f.Generate * float64(s.active()) / reads[n]
			all = append(all, f)
		}
	}
	table(all)
	if out == "" {
		return nil
	}
	b, err := json.MarshalIndent(map[string]any{"figures": all, "read_bytes_per_second": reads}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
}

// prepare makes the two files of a model, once.
func prepare(gguf, ours string, s shape) error {
	if _, err := os.Stat(ours); err == nil {
		return nil
	}
	fmt.Printf("making   %s of %d million parameters\n", s.name, s.parameters()/1e6)
	if err := writeGGUF(gguf, s); err != nil {
		return err
	}
	in, err := os.Open(gguf)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	f, err := os.Create(ours + ".part")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := convert.FromGGUF(f, in, st.Size(), convert.Options{}); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(ours+".part", ours)
}

// child runs a measurement in a process of its own, so that none has another's memory.
func child(c *exec.Cmd, dir string) (figures, error) {
	var f figures
	var out bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = dir, &out, os.Stderr
	if err := c.Run(); err != nil {
		return f, err
	}
	return f, json.Unmarshal(bytes.TrimSpace(out.Bytes()), &f)
}

// measure is one of ours.
func measure(path string, threads int) error {
	if threads < 1 {
		return errors.New("-threads: at least one")
	}
	runtime.GOMAXPROCS(threads)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	m, err := model.Load(file, st.Size())
	if err != nil {
		return err
	}
	f := figures{Engine: "exact"}
	engine := model.NewEngine(m, model.NewRunner(m, kernel.Best(), threads), model.Limits{Pages: 1024, Active: streams, Waiting: streams, Rows: 512})
	defer engine.Close()

	// A prompt takes as long as its answer's first token, less what that takes by itself.
	generate := func(prompt []uint32, n int) ([]uint32, time.Duration, error) {
		began := time.Now()
		var answer []uint32
		for t, err := range engine.Generate(context.Background(), model.Request{Prompt: prompt, MaxTokens: n}) {
			if err != nil {
				return nil, 0, err
			}
			answer = append(answer, t.ID)
		}
		return answer, time.Since(began), nil
	}
	if _, _, err := generate(tokens(promptTokens, 1), 2); err != nil { // what is done once
		return err
	}
	_, took, err := generate(tokens(promptTokens, 2), 1)
	if err != nil {
		return err
	}
	f.Prompt = promptTokens / took.Seconds()
	prompt := tokens(4, 4)
	answer, took, err := generate(prompt, answerTokens)
	if err != nil {
		return err
	}
	f.Generate = answerTokens / took.Seconds()
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, streams)
	for i := range streams {
		wg.Go(func() { _, _, errs[i] = generate(tokens(4, 5+i), answerTokens) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	f.Streams = streams * answerTokens / time.Since(began).Seconds()
	if f.Receipt, err = receipt(prompt, answer, took); err != nil {
		return err
	}
	runner := model.NewRunner(m, kernel.Best(), threads)
	defer runner.Close()
	began = time.Now()
	at, err := model.Replay(runner, model.NewCache(m, 64), prompt, answer, exact.Sampling{}, 128)
	if err != nil {
		return err
	}
	if at != len(answer) {
		return fmt.Errorf("the replay differs at token %d", at)
	}
	f.Audit = time.Since(began).Seconds() / took.Seconds()
	if f.Memory, err = peak(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

func tokens(n, salt int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(300 + (i*7919+salt*104729)%31000)
	}
	return ids
}

var high = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the most memory that this process had.
func peak() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	m := high.FindSubmatch(b)
	if m == nil {
		return 0, errors.New("no VmHWM in /proc/self/status")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10, err
}

// readBandwidth is how fast n threads read memory that no cache holds: each looks for a
// byte that is not there, with the vector instructions that the standard library uses.
func readBandwidth(n int) float64 {
	const size = 256 << 20
	buffers := make([][]byte, n)
	for i := range buffers {
		buffers[i] = make([]byte, size)
		for k := 0; k < size; k += 4096 {
			buffers[i][k] = 1
		}
	}
	best := 0.0
	for range 5 {
		began := time.Now()
		var wg sync.WaitGroup
		for _, b := range buffers {
			wg.Go(func() {
				if bytes.IndexByte(b, 0xff) >= 0 {
					panic("a byte that nobody wrote")
				}
			})
		}
		wg.Wait()
		best = max(best, float64(n)*size/time.Since(began).Seconds())
	}
	return best
}

func table(all []figures) {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tTHREADS\tENGINE\tPROMPT tok/s\tANSWER tok/s\tOF BANDWIDTH\t16 ANSWERS tok/s\tMEMORY\tAUDIT/ANSWER\tRECEIPT/ANSWER")
	for _, f := range all {
		audit, receipt := "", ""
		if f.Audit > 0 {
			audit, receipt = fmt.Sprintf("%.3f", f.Audit), fmt.Sprintf("%.5f", f.Receipt)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%.1f\t%.1f\t%.0f %%\t%.1f (%.1f×)\t%d MiB\t%s\t%s\n", f.Model, f.Threads, strings.TrimSpace(f.Engine+" "+f.Release),
			f.Prompt, f.Generate, 100*f.Bandwidth, f.Streams, f.Streams/f.Generate, f.Memory>>20, audit, receipt)
	}
	w.Flush()
}

func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(b))[0]
}
