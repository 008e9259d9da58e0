package modelcli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/internal/progress"
)

// arrived prints a model that is here now.
func (p Program) arrived(c *cobra.Command, e modeldir.Entry, began time.Time) error {
	if p.JSON() {
		return printJSON(c.OutOrStdout(), e)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is here: %s parameters, %s, context %d, in %.1f s\nroot %s\n",
		e.Name, count(e.Parameters), progress.Bytes(uint64(e.Bytes)), e.Config.Context, time.Since(began).Seconds(), e.Hex())
	return nil
}

func importCommand(p Program) *cobra.Command {
	var o modeldir.Options
	c := &cobra.Command{
		Use:   "import FILE.gguf|DIR|FILE.cantus",
		Short: "Convert a model to exact arithmetic, or take in one that is",
		Long: `Take in a model of the Llama family (Llama 2 and 3, Mistral, Qwen 2 and 3, SmolLM) from

  FILE.gguf    weights of F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K
  DIR          config.json, *.safetensors (F32, F16, BF16) and tokenizer.json or tokenizer.model
  FILE.cantus  what another machine converted

A conversion rounds weights to 8 bits, one scale for each row. It gives the same file, and
so the same root, on every machine: whoever has the original can check that a model is made
of it. The name is for this machine and no part of the file.`,
		Example: fmt.Sprintf("  %s model import SmolLM2-135M-Instruct.gguf --name smollm2\n  %s model import ./Qwen3-0.6B --context 8192", p.Name, p.Name),
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Context < 0 {
				return fmt.Errorf("--context %d: want a number of tokens", o.Context)
			}
			show, began := p.show(), time.Now()
			o.Progress = update(show)
			e, err := p.dir().Import(c.Context(), args[0], o)
			show.Clear()
			if err != nil {
				return p.advise(err)
			}
			return p.arrived(c, e, began)
		},
	}
	c.Flags().StringVar(&o.Name, "name", "", "what to call it on this machine (default: what the file calls itself)")
	c.Flags().StringVar(&o.Licence, "licence", "", "its licence (default: what the file or its README.md says)")
	c.Flags().IntVar(&o.Context, "context", 0, "the most tokens of prompt and answer (default: what the file says); part of the root")
	return c
}

func pullCommand(p Program) *cobra.Command {
	var pull modeldir.Pull
	var names []string
	for _, b := range p.Builtin {
		names = append(names, b.Name)
	}
	long := `Fetch a model's file from another machine that serves it ("model serve", or a gateway). What
comes is hashed, and taken only if it has the root: so with a root it does not matter from
whom it comes; a name means what that machine means by it. A pull that was interrupted goes
on where it stopped.`
	if len(names) > 0 {
		long += fmt.Sprintf("\n\nWithout --from: %s, which this program has inside it.", strings.Join(names, ", "))
	}
	c := &cobra.Command{
		Use:     "pull ROOT|NAME --from URL",
		Short:   "Fetch a model from another machine, checked against its root",
		Long:    long,
		Example: fmt.Sprintf("  %s model pull 3fa95c…e1 --from https://gateway.example", p.Name),
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			show, began := p.show(), time.Now()
			pull.Ref, pull.Progress = args[0], update(show)
			var e modeldir.Entry
			var err error
			if i := slices.IndexFunc(p.Builtin, func(b Builtin) bool { return b.Name == pull.Ref }); pull.From == "" && i >= 0 {
				b := p.Builtin[i]
				o := pull.Options
				o.Source, o.Licence = "built into "+p.Name, b.Licence
				if o.Name == "" {
					o.Name = b.Name
				}
				e, err = p.dir().Add(c.Context(), b.Open(), o)
			} else if pull.From == "" {
				err = errors.New("from whom? give --from URL of a machine that serves it")
				if len(names) > 0 {
					err = fmt.Errorf("%w; without it, %s can be had", err, strings.Join(names, ", "))
				}
			} else {
				e, err = p.dir().Pull(c.Context(), pull)
			}
			show.Clear()
			if err != nil {
				return p.advise(err)
			}
			return p.arrived(c, e, began)
		},
	}
	c.Flags().StringVar(&pull.From, "from", "", "URL of the machine, like https://gateway.example")
	c.Flags().StringVar(&pull.Name, "name", "", "what to call it on this machine (default: what the other one does)")
	return c
}
