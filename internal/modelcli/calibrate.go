package modelcli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer/measured"
)

// shelf is where descriptions of measured models are.
func (p Program) shelf() *measured.Shelf {
	return measured.NewShelf(filepath.Join(p.Dir(), "measured"))
}

type calibrateFlags struct {
	name, backend, auditor, theirs, keyFile, prompts string
	workers                                          []string
	answers, tokens                                  int
}

func calibrateCommand(p Program) *cobra.Command {
	var f calibrateFlags
	c := &cobra.Command{
		Use:   "calibrate MODEL",
		Short: "Measure the noise of honest inference servers, to order answers of them",
		Long: `Answers of foreign inference servers (vLLM, llama.cpp) differ a little from machine to machine.
calibrate has honest servers with one model answer prompts and audit each other, learns how far
honest answers lie apart, and writes a description of the model with it. The description's
digest is what a tab orders answers of kind infer-measured/1 by.

MODEL is the same model as this machine imported it: its vocabulary is needed. Run the servers
yourself, with all the settings that honest workers may have: what is not seen here as noise is
held against a worker later. Each --worker answers, and --auditor audits it.`,
		Example: fmt.Sprintf("  %s model calibrate smollm2 --name smollm2-bf16 --backend \"vLLM 0.11, BF16\" \\\n    --worker http://a:8000 --worker http://b:8000 --auditor http://c:8000 --prompts prompts.txt", p.Name),
		Args:    cobra.ExactArgs(1), ValidArgsFunction: p.models,
		RunE: func(c *cobra.Command, args []string) error {
			d, digest, err := p.calibrate(c.Context(), args[0], f)
			if err != nil {
				return p.advise(err)
			}
			if p.JSON() {
				return printJSON(c.OutOrStdout(), describedJSON(digest, d))
			}
			n := d.Noise
			fmt.Fprintf(c.OutOrStdout(), "%s, as %s, from %d honest answers with %d tokens\nhonest answers lie e^%.2f nats off; a place is missed by more than %.3f nats in at most %.2f %% of places\ndigest %s\n",
				d.Name, d.Backend, n.Answers, n.Tokens, float64(n.Near)/1e6, float64(n.Gap)/1e6, float64(n.Miss)/1e4, digest)
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "", "what to call the measured model (required)")
	flags.StringVar(&f.backend, "backend", "", "which programs, releases and types of weights the servers are, for people (required)")
	flags.StringArrayVar(&f.workers, "worker", nil, "a server that answers; may be repeated (required)")
	flags.StringVar(&f.auditor, "auditor", "", "the server that audits (required)")
	flags.StringVar(&f.theirs, "server-model", "", "the servers' name of the model (default: the only one that they have)")
	flags.StringVar(&f.keyFile, "key-file", "", "file with the servers' bearer key in its first line")
	flags.StringVar(&f.prompts, "prompts", "", "file with a prompt in each line, or - for standard input (required)")
	flags.IntVar(&f.answers, "answers", 120, "answers of each server")
	flags.IntVar(&f.tokens, "tokens", 64, "tokens of an answer, at most")
	for _, name := range []string{"name", "backend", "worker", "auditor", "prompts"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that was just made
		}
	}
	return c
}

func (p Program) calibrate(ctx context.Context, ref string, f calibrateFlags) (*measured.Descriptor, artifact.Digest, error) {
	none := artifact.Digest{}
	if f.answers < measured.MinAnswers || f.tokens < 1 {
		return nil, none, fmt.Errorf("--answers %d, --tokens %d: want at least %d answers of at least a token", f.answers, f.tokens, measured.MinAnswers)
	}
	head, err := p.dir().Open(ref)
	if err != nil {
		return nil, none, err
	}
	prompts, err := readPrompts(f.prompts, head, f.answers)
	if err != nil {
		return nil, none, err
	}
	key, err := measured.ReadKey(f.keyFile)
	if err != nil {
		return nil, none, err
	}
	connect := func(url string) (*measured.HTTP, error) {
		return measured.Connect(ctx, measured.HTTPOptions{URL: url, Model: f.theirs, Key: key, Vocab: head.Config.Vocab})
	}
	auditor, err := connect(f.auditor)
	if err != nil {
		return nil, none, err
	}
	var pairs []measured.Pair
	for i, url := range f.workers {
		b, err := connect(url)
		if err != nil {
			return nil, none, err
		}
		pairs = append(pairs, measured.Pair{Name: fmt.Sprintf("server %d", i+1), Worker: b, Auditor: auditor})
	}
	var stop []uint32
	for _, id := range head.Tokenizer.Vocabulary().Stop {
		stop = append(stop, uint32(id))
	}
	show, all := p.show(), len(pairs)*len(prompts)
	runs, err := measured.Honest(ctx, pairs, prompts, f.tokens, stop, func(n int) {
		show.Update(fmt.Sprintf("%d of %d answers", n, all), map[string]any{"event": "calibrate", "done": n, "total": all})
	})
	show.Clear()
	if err != nil {
		return nil, none, err
	}
	noise, err := measured.Calibrate(runs)
	if err != nil {
		return nil, none, err
	}
	d := &measured.Descriptor{Version: measured.Version, Name: f.name, Root: artifact.Digest(head.Root), Backend: f.backend, Noise: *noise}
	digest, err := p.shelf().Add(d)
	return d, digest, err
}

// readPrompts reads lines until there are n prompts that leave half of the model's context.
func readPrompts(path string, head *modeldir.Head, n int) (list [][]uint32, err error) {
	var r io.Reader = os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read prompts: %w", err)
		}
		defer f.Close()
		r = f
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(list) < n {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		if tokens := head.Tokenizer.Encode(text, true, true); len(tokens) > 0 && len(tokens) <= head.Config.Context/2 {
			list = append(list, tokens)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read prompts from %s: %w", path, err)
	}
	if len(list) < n {
		return nil, fmt.Errorf("%s has %d prompts that the model can take, and %d are wanted: add some, or ask for fewer --answers (at least %d)", path, len(list), n, measured.MinAnswers)
	}
	return list, nil
}

type described struct {
	Digest artifact.Digest      `json:"digest"`
	Model  *measured.Descriptor `json:"model"`
}

func describedJSON(digest artifact.Digest, d *measured.Descriptor) described {
	return described{digest, d}
}

func measuredCommand(p Program) *cobra.Command {
	return &cobra.Command{
		Use:   "measured [FILE]",
		Short: "List descriptions of measured models, or add one",
		Long: `List the models that this machine knows descriptions of (see calibrate), or add one that
somebody else made. A gateway, a worker and an auditor all need the description of what a tab
orders: send each other the file, which lies in the directory measured of the models.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return p.describe(c, args[0])
			}
			list, err := p.shelf().List()
			if err != nil {
				return err
			}
			all := []described{}
			var bad error
			for _, digest := range list {
				d, err := p.shelf().Get(digest)
				if err != nil {
					bad = errors.Join(bad, err)
					continue
				}
				all = append(all, describedJSON(digest, d))
			}
			if p.JSON() {
				return errors.Join(printJSON(c.OutOrStdout(), all), bad)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tDIGEST\tSERVERS\tVOCABULARY")
			for _, x := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.Model.Name, x.Digest, x.Model.Backend, x.Model.Root.String()[:12])
			}
			return errors.Join(w.Flush(), bad)
		},
	}
}

// describe adds a description from a file.
func (p Program) describe(c *cobra.Command, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a description: %w", err)
	}
	d, err := measured.ParseDescriptor(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	digest, err := p.shelf().Add(d)
	if err != nil {
		return err
	}
	if p.JSON() {
		return printJSON(c.OutOrStdout(), describedJSON(digest, d))
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is known here\ndigest %s\n", d.Name, digest)
	return nil
}
