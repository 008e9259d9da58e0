// Command measured finds out how often the test of the kind infer-measured errs: honest workers
// on llama.cpp in several settings, and workers that serve a quantised model, one with a layer
// missing, or the tokens of a cheaper model with the right model's probabilities.
//
//	bench/measured.sh [-answers N] [-json FILE]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/gguf"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/test/backend/requantise"
)

func main() {
	var o options
	flag.StringVar(&o.node, "node", "", "directory with server.mjs and node_modules")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "directory for the models")
	flag.StringVar(&o.stories, "stories", "", "stories260K.gguf; empty to leave it out")
	flag.StringVar(&o.demo, "demo", "", "a model file of this project; empty to leave it out")
	flag.StringVar(&o.texts, "texts", "", "prompts for -demo, one JSON object with a field read in each line")
	flag.IntVar(&o.answers, "answers", 80, "answers of each worker to calibrate with, and as many to test")
	flag.IntVar(&o.tokens, "tokens", 48, "tokens of an answer")
	flag.StringVar(&o.json, "json", "", "file for the figures")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		slog.Error("bench/measured", "err", err)
		os.Exit(1)
	}
}

type options struct {
	node, dir, stories, demo, texts, json string
	answers, tokens                       int
}

func (o *options) run(ctx context.Context) error {
	var all []*report
	if o.stories != "" {
		s, err := o.openStories()
		if err == nil {
			var r *report
			if r, err = s.measure(ctx, o); err == nil {
				all = append(all, r)
			}
		}
		if err != nil {
			return fmt.Errorf("stories260K: %w", err)
		}
	}
	if o.demo != "" {
		s, err := o.openDemo()
		if err == nil {
			var r *report
			if r, err = s.measure(ctx, o); err == nil {
				all = append(all, r)
			}
		}
		if err != nil {
			return fmt.Errorf("the demo model: %w", err)
		}
	}
	for _, r := range all {
		r.print(os.Stdout)
	}
	if o.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(map[string]any{"cpus": runtime.NumCPU(), "models": all}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(b, '\n'), 0o644)
}

// subject is a model and what is asked of it.
type subject struct {
	name     string
	original *requantise.Model
	exact    *model.Model
	drop     int // the layer that the smaller model lacks
	prompts  func(n int) [][]uint32
	stop     []uint32
}

func (o *options) openStories() (*subject, error) {
	file, err := os.ReadFile(o.stories)
	if err != nil {
		return nil, err
	}
	original, err := requantise.FromGGUF(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	var own bytes.Buffer
	if _, err := convert.FromGGUF(&own, bytes.NewReader(file), int64(len(file)), convert.Options{}); err != nil {
		return nil, err
	}
	m, err := model.Load(&own, int64(own.Len()))
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Parse(m.Tokenizer)
	if err != nil {
		return nil, err
	}
	who := strings.Fields("Lily Tom Ben Mia Sam Anna Tim Sue Max Lucy")
	what := strings.Fields("dog cat ball tree bird boat car hat cake book")
	how := []string{"Once upon a time, there was a %s who had a %s.", "%s wanted to find the %s.", "One day, %s saw a big %s in the park.", "%s said: \"Look at my %s!\"",
		"%s was sad because the %s was gone.", "%s and the %s went to the", "In the morning %s took the red %s and", "\"Where is my %[2]s?\" asked %[1]s."}
	return &subject{name: "stories260K", original: original, exact: m, drop: 3, stop: []uint32{1, 2}, prompts: func(n int) (list [][]uint32) {
		for i := range n {
			list = append(list, t.Encode(fmt.Sprintf(how[i/100%len(how)], who[i%10], what[i/10%10]), false, true))
		}
		return list
	}}, nil
}

func (o *options) openDemo() (*subject, error) {
	file, err := os.ReadFile(o.demo)
	if err != nil {
		return nil, err
	}
	original, err := requantise.FromFile(file)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Parse(m.Tokenizer)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(o.texts)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var read [][]uint32
	for d := json.NewDecoder(f); ; {
		var line struct{ Read string }
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", o.texts, err)
		}
		read = append(read, t.Encode(line.Read, true, false))
	}
	var stop []uint32
	for _, id := range t.Vocabulary().Stop {
		stop = append(stop, uint32(id))
	}
	return &subject{name: "demo", original: original, exact: m, drop: 2, stop: stop, prompts: func(n int) (list [][]uint32) {
		for i := range n {
			list = append(list, read[i%len(read)])
		}
		return list
	}}, nil
}

// variant writes the model in a type, once.
func (s *subject) variant(dir, name string) (string, error) {
	path := filepath.Join(dir, s.name+"-"+name+".gguf")
	types := map[string]gguf.Type{"F32": gguf.F32, "F16": gguf.F16, "Q8_0": gguf.Q8_0, "Q4_0": gguf.Q4_0, "short": gguf.F32}
	m := s.original
	if name == "short" {
		m = m.Short(s.drop)
	}
	return path, m.Write(path, types[name])
}

// tasks are n requests, sampled as those of calibrations are.
func (s *subject) tasks(from, n, tokens int) (list []*claim.Task) {
	for i, p := range s.prompts(from + n)[from:] {
		list = append(list, measured.Question(p, tokens, s.stop, uint32(from+i)))
	}
	return list
}

// engine is the project's own engine, of integers, as a backend.
func (s *subject) engine() (*own, func()) {
	r := model.NewRunner(s.exact, kernel.Best(), 1)
	e := model.NewEngine(s.exact, r, model.Limits{Pages: 64, Active: 1, Waiting: 4, Rows: 64})
	return &own{s.exact, e, model.NewRunner(s.exact, kernel.Best(), 1)}, e.Close
}
