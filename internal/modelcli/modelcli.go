// Package modelcli is the command "model": the models of this machine. Two programs have
// it, cantus and cantus-worker.
//
//	modelcli.go  Command; list, show, remove, verify
//	come.go      import, pull
//	serve.go     serve
//	calibrate.go calibrate, measured: models of foreign inference servers
package modelcli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/internal/progress"
	"github.com/cantus-network/cantus/kinds/infer"
)

// Program is what the commands take from the program that they are part of.
type Program struct {
	Name string        // of the program, for what the commands tell to type
	Dir  func() string // where the models are
	JSON func() bool
	// Builtin are models that come with the program, by the names that pull knows them by.
	Builtin []Builtin
}

// Builtin is a model that a program has inside it.
type Builtin struct {
	Name    string
	Licence string
	Open    func() io.Reader
}

func (p Program) dir() *modeldir.Dir { return modeldir.At(p.Dir()) }

// show tells of what takes long.
func (p Program) show() *progress.Printer {
	return progress.New(os.Stderr, progress.Detect(os.Stderr, p.JSON()))
}

// update makes a line of a directory's progress.
func update(show *progress.Printer) func(modeldir.Progress) {
	return func(d modeldir.Progress) {
		line := d.Stage + ": " + progress.Bytes(uint64(d.Done))
		if d.Total > 0 {
			line += fmt.Sprintf(" of %s, %d %%", progress.Bytes(uint64(d.Total)), 100*d.Done/d.Total)
		}
		show.Update(line, map[string]any{"event": d.Stage, "done": d.Done, "total": d.Total})
	}
}

// Command is "model" with all that belongs to it.
func Command(p Program) *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Models of this machine: import, pull, serve",
		Long: `The models that this machine answers prompts with. Each lies in a file that is named after
its root: a hash over weights, tokenizer and chat template. A receipt names the root, so
whoever has the same file can compute the same answer again, to the bit.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(importCommand(p), listCommand(p), showCommand(p), pullCommand(p), serveCommand(p), removeCommand(p), verifyCommand(p), calibrateCommand(p), measuredCommand(p))
	return c
}

// models completes the names of models.
func (p Program) models(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := p.dir().List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name+"\t"+e.Hex()[:12]+", "+progress.Bytes(uint64(e.Bytes)))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// advise adds to an error what to do about it with these commands.
func (p Program) advise(err error) error {
	switch {
	case errors.Is(err, modeldir.ErrNone):
		return fmt.Errorf("%w; `%s model import` and `%s model pull` bring models here", err, p.Name, p.Name)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// count writes a number of weights as people do: 110M, 1.1B.
func count(n int64) string {
	for _, u := range []struct {
		name string
		n    int64
	}{{"B", 1e9}, {"M", 1e6}, {"K", 1e3}} {
		if n >= u.n {
			return strconv.FormatFloat(float64(n)/float64(u.n), 'g', 3, 64) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func listCommand(p Program) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the models of this machine",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := p.dir().List()
			if err != nil {
				return err
			}
			if p.JSON() {
				if list == nil {
					list = []modeldir.Entry{}
				}
				return printJSON(c.OutOrStdout(), list)
			}
			if len(list) == 0 {
				fmt.Fprintf(c.ErrOrStderr(), "no models in %s; `%s model import` and `%s model pull` bring some\n", p.Dir(), p.Name, p.Name)
				return nil
			}
			rows := [][]string{{"NAME", "ROOT", "PARAMETERS", "CONTEXT", "SIZE", "LICENCE", "IMPORTED"}}
			for _, e := range list {
				row := []string{e.Name, e.Hex()[:12], count(e.Parameters), fmt.Sprint(e.Config.Context), progress.Bytes(uint64(e.Bytes)), orDash(e.Licence), e.Imported.Local().Format(time.DateTime)}
				if e.Problem != "" {
					row[2], row[3], row[5] = "-", "-", "damaged: see `"+p.Name+" model show "+e.Hex()[:12]+"`"
				}
				rows = append(rows, row)
			}
			return table(c.OutOrStdout(), rows)
		},
	}
}

// orDash is what a file says of itself, fit for a terminal.
func orDash(s string) string {
	s = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
	if s == "" {
		return "-"
	}
	return s
}

// details is a model as show tells of it.
type details struct {
	modeldir.Entry
	tokens   int
	stop     []string
	template string
	speaker  string // what contracts call it by
	silent   string // why it has none
}

// MarshalJSON implements json.Marshaler: the entry's fields and what its tokenizer adds.
func (d details) MarshalJSON() ([]byte, error) {
	b, err := d.Entry.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	if d.Problem == "" {
		all["tokens"], all["stop"], all["template"], all["speaker"] = d.tokens, d.stop, d.template, d.speaker
	}
	return json.Marshal(all)
}

func showCommand(p Program) *cobra.Command {
	return &cobra.Command{
		Use:               "show MODEL",
		Short:             "Show a model: architecture, size, root, licence, chat template",
		Long:              "Show a model, by its name, its root, or how its root begins.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.models,
		RunE: func(c *cobra.Command, args []string) error {
			e, err := p.dir().Find(args[0])
			if err != nil {
				return p.advise(err)
			}
			d := details{Entry: e}
			if h, err := p.dir().Open(e.Hex()); err != nil {
				d.Problem = err.Error()
			} else {
				v := h.Tokenizer.Vocabulary()
				d.tokens, d.template, d.stop = len(v.Tokens), h.Template, []string{}
				for _, s := range v.Stop {
					d.stop = append(d.stop, string(v.Tokens[s]))
				}
				if w, err := infer.Voice(artifact.Digest(h.Root), &infer.Card{Config: h.Config, Tokenizer: h.Tokenizer}); err != nil {
					d.silent = err.Error()
				} else {
					d.speaker = w.ID().String()
				}
			}
			if p.JSON() {
				return printJSON(c.OutOrStdout(), d)
			}
			return table(c.OutOrStdout(), d.rows())
		},
	}
}

// rows are the details for people.
func (d details) rows() [][]string {
	c := d.Config
	rows := [][]string{{"name", d.Name}, {"root", d.Hex()}}
	if d.Problem != "" {
		return append(rows, []string{"problem", d.Problem})
	}
	attention := fmt.Sprintf("%d heads of %d", c.Heads, c.HeadDim)
	if c.KVHeads != c.Heads {
		attention += fmt.Sprintf(", %d for keys", c.KVHeads)
	}
	if c.Window > 0 {
		attention += fmt.Sprintf(", window of %d", c.Window)
	}
	var extras []string
	for _, x := range []struct {
		has  bool
		text string
	}{{c.Tied, "tied embedding"}, {c.QKVBias, "biases of queries, keys and values"}, {c.HeadNorm, "norms of heads"}} {
		if x.has {
			extras = append(extras, x.text)
		}
	}
	shape := fmt.Sprintf("%d layers, %d wide, %d within", c.Layers, c.Dim, c.Hidden)
	if len(extras) > 0 {
		shape += "; " + strings.Join(extras, ", ")
	}
	template := "none: /v1/chat/completions is not offered"
	if d.template != "" {
		template = fmt.Sprintf("%d bytes; --json shows it", len(d.template))
	}
	return append(rows,
		[]string{"called in its file", orDash(c.Name)},
		[]string{"architecture", "Llama family"}, []string{"shape", shape}, []string{"attention", attention},
		[]string{"parameters", count(d.Parameters)}, []string{"context", fmt.Sprintf("%d tokens", c.Context)},
		[]string{"vocabulary", fmt.Sprintf("%d tokens", d.tokens)}, []string{"ends an answer", orDash(strings.Join(d.stop, " "))},
		[]string{"chat template", template}, []string{"contracts call it", cmp.Or(d.speaker, "not: "+d.silent)}, []string{"size", progress.Bytes(uint64(d.Bytes))},
		[]string{"licence", orDash(d.Licence)}, []string{"source", orDash(d.Source)}, []string{"imported", d.Imported.Local().Format(time.DateTime)})
}

func removeCommand(p Program) *cobra.Command {
	return &cobra.Command{
		Use:               "remove MODEL",
		Short:             "Delete a model from this machine",
		Long:              "Delete a model from this machine. Programs that have it loaded go on with it until they end.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.models,
		RunE: func(c *cobra.Command, args []string) error {
			e, err := p.dir().Remove(args[0])
			if err != nil {
				return p.advise(err)
			}
			if p.JSON() {
				return printJSON(c.OutOrStdout(), map[string]any{"removed": e.Hex(), "name": e.Name, "bytes": e.Bytes})
			}
			fmt.Fprintf(c.OutOrStdout(), "removed %s (%s), %s\n", e.Name, e.Hex()[:12], progress.Bytes(uint64(e.Bytes)))
			return nil
		},
	}
}

func verifyCommand(p Program) *cobra.Command {
	return &cobra.Command{
		Use:   "verify [MODEL]",
		Short: "Compute the roots of models again, of all or of one",
		Long: `Compute the root of a model's file again and hold it against its name: a file that a disk
or a person changed would give answers that no receipt fits. Exits with 1 where one is damaged.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.models,
		RunE: func(c *cobra.Command, args []string) error {
			refs := args
			if len(refs) == 0 {
				list, err := p.dir().List()
				if err != nil {
					return err
				}
				for _, e := range list {
					refs = append(refs, e.Hex())
				}
			}
			type result struct {
				Root  string `json:"root"`
				Name  string `json:"name"`
				OK    bool   `json:"ok"`
				Error string `json:"error,omitempty"`
			}
			results := make([]result, 0, len(refs))
			show, bad := p.show(), 0
			for _, ref := range refs {
				e, err := p.dir().Verify(c.Context(), ref, update(show))
				show.Clear()
				if err != nil && !errors.Is(err, modeldir.ErrDamaged) {
					return p.advise(err)
				}
				r := result{Root: e.Hex(), Name: e.Name, OK: err == nil}
				if err != nil {
					r.Error = err.Error()
					bad++
				}
				results = append(results, r)
				if p.JSON() {
					continue
				}
				if err != nil {
					fmt.Fprintf(c.OutOrStdout(), "DAMAGED  %s\n", err)
				} else {
					fmt.Fprintf(c.OutOrStdout(), "ok       %s (%s)\n", e.Name, e.Hex()[:12])
				}
			}
			if p.JSON() {
				if err := printJSON(c.OutOrStdout(), results); err != nil {
					return err
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d of %d models are damaged: remove them, and import or pull them again", bad, len(refs))
			}
			return nil
		},
	}
}
