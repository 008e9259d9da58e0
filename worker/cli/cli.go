// Package cli is the worker's command line. Two programs share it: cantus-worker, which is
// this and nothing else, and cantus, which has it under "cantus worker".
package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cantus-network/cantus/internal/settings"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	"github.com/cantus-network/cantus/worker/witness"
)

// Program is what the commands take from the program that they are part of.
type Program struct {
	Version string
	Names   []work.Name // of all kinds that the program knows
	// Kinds makes them. Stop is called when the worker has ended.
	Kinds  func(Machine) (kinds []work.Kind, stop func(), err error)
	Home   string // the default for --home; empty for ~/.cantus/worker
	Models string // the default for --models; empty for models in --home
}

// Machine is what a worker's kinds may use of the machine.
type Machine struct {
	Models  string // directory of models
	Memory  int64  // for their weights, keys and values
	Threads int    // that one model is computed with; 0 for all processors
	// A foreign inference server: its URL, what it serves, and the file of the key for it.
	Backend        string
	BackendModels  []string
	BackendKeyFile string
	Metrics        prometheus.Registerer
	Log            *slog.Logger
}

// envPrefix is what a flag's environment variable begins with: --gateway is
// CANTUS_WORKER_GATEWAY.
const envPrefix = "CANTUS_WORKER_"

// Root is the command cantus-worker.
func Root(p Program) *cobra.Command {
	root := &cobra.Command{
		Use:   "cantus-worker",
		Short: "Do AI work for the Cantus network on this machine",
		Long: `cantus-worker leases tasks from a gateway, does them on this machine, and is paid for
what it did. It connects outward only: no port has to be open. It holds a node key and
no money; the operator who enrols the key on the ledger receives the pay.

  cantus-worker key                                 make the keys and show the public one
  cantus worker enroll KEY …                        the operator enrols it (another program)
  cantus-worker model pull ROOT --from https://gw.example
                                                    fetch a model to answer prompts with
  cantus-worker start --gateway https://gw.example  work`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddCommand(Commands(p)...)
	root.AddCommand(modelCommand(p))
	root.AddCommand(&cobra.Command{
		Use: "version", Short: "Show the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "cantus-worker", p.Version)
			return err
		},
	})
	return root
}

// Commands are start, key and vouchers, for a program to add to a command of its own.
func Commands(p Program) []*cobra.Command {
	return []*cobra.Command{startCommand(p), keyCommand(p), vouchersCommand(p)}
}

func homeFlag(f *pflag.FlagSet, p Program) *string {
	def := p.Home
	if def == "" {
		if h, err := os.UserHomeDir(); err == nil {
			def = filepath.Join(h, ".cantus", "worker")
		}
	}
	return f.String("home", def, "directory of the key and of the worker's state")
}

func keyPath(home string) string { return filepath.Join(home, "node.key") }

func accountPath(home string) string { return filepath.Join(home, "account.key") }

func stateDir(home string) string { return filepath.Join(home, "state") }

func keyCommand(p Program) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make this machine's keys if it has none, and show the node key's public half",
		Long: `Make this machine's keys if it has none, and show the public half of its node key, which is
what an operator enrols on the ledger. The key file is node.key in --home; only its owner
can read it. It signs receipts and holds no money; still, keep it to this machine.

Beside it is account.key, which the worker sends transactions of its own with (start
--ledger). It holds no money either: the operator pays the fees, and grants it one message,
when enrolling. --account shows its address.

--enroll shows the signature by which the node key agrees to belong to an operator. With
--line all of it comes as one line, KEY=SIGNATURE,ADDRESS, as "cantus worker enroll" takes
it, many to a file.`,
		Example: `  cantus-worker key
  cantus-worker key --enroll cantus-1,cantus1… --line >> fleet.txt`,
		Args: cobra.NoArgs,
	}
	home := homeFlag(c.Flags(), p)
	enrol := c.Flags().String("enroll", "", "also sign an enrolment: CHAIN,OPERATOR-ADDRESS")
	account := c.Flags().Bool("account", false, "also show the address of the worker's account")
	line := c.Flags().Bool("line", false, "with --enroll: everything on one line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := configure(c); err != nil {
			return err
		}
		key, err := worker.LoadKey(keyPath(*home))
		if errors.Is(err, worker.ErrNoKey) {
			key, err = worker.CreateKey(keyPath(*home))
		}
		if err != nil {
			return err
		}
		acc, err := witness.EnsureAccount(accountPath(*home))
		if err != nil {
			return err
		}
		lines := []string{key.Public().String()}
		if *enrol != "" {
			chain, owner, ok := strings.Cut(*enrol, ",")
			if !ok || chain == "" || owner == "" {
				return fmt.Errorf("--enroll %q: want CHAIN,OPERATOR-ADDRESS", *enrol)
			}
			sig, err := key.SignEnrollment(chain, owner)
			if err != nil {
				return err
			}
			lines = append(lines, fmt.Sprintf("%x", sig))
		}
		switch {
		case *line && *enrol == "":
			return errors.New("--line: it shows an enrolment: give --enroll CHAIN,OPERATOR-ADDRESS too")
		case *line:
			lines = []string{lines[0] + "=" + lines[1] + "," + acc.Address()}
		case *account:
			lines = append(lines, acc.Address())
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(lines, "\n"))
		return err
	}
	return c
}

func vouchersCommand(p Program) *cobra.Command {
	c := &cobra.Command{
		Use:   "vouchers",
		Short: "List the vouchers that this worker holds",
		Long: `List the newest voucher of each job: what the gateway promised to pay, signed. One line
each: gateway, job, epoch, units, and the voucher itself in hexadecimal, which is what a
challenge on the ledger takes if the gateway commits less. The worker must not be running.`,
		Args: cobra.NoArgs,
	}
	home := homeFlag(c.Flags(), p)
	asJSON := c.Flags().Bool("json", false, "as a JSON array")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := configure(c); err != nil {
			return err
		}
		promises, err := worker.Vouchers(stateDir(*home))
		if err != nil {
			return err
		}
		type line struct {
			Gateway work.PublicKey `json:"gateway"`
			Job     work.JobID     `json:"job"`
			Epoch   uint64         `json:"epoch"`
			Units   uint64         `json:"units"`
			Voucher string         `json:"voucher"`
		}
		lines := []line{}
		for _, p := range promises {
			b, err := p.Voucher.Encode()
			if err != nil {
				return err
			}
			v := p.Voucher.Voucher
			if *asJSON {
				lines = append(lines, line{v.Gateway, v.Job, v.Epoch, v.Units, hex.EncodeToString(b)})
				continue
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%s %d %d %d %x\n", v.Gateway, v.Job, v.Epoch, v.Units, b); err != nil {
				return err
			}
		}
		if *asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(lines)
		}
		return nil
	}
	return c
}

// configure fills in the flags that weren't given, from the environment or else from the
// file that --config names (worker.toml in --home if there is one).
func configure(c *cobra.Command) error {
	flags := c.Flags()
	o := settings.Options{
		Env: func(flag string) string { return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) },
		Not: []string{"home", "config"}, // they say where the file is
	}
	for _, name := range o.Not {
		f := flags.Lookup(name)
		if f == nil || f.Changed {
			continue
		}
		if v := os.Getenv(o.Env(name)); v != "" {
			if err := flags.Set(name, v); err != nil {
				return fmt.Errorf("%s: %w", o.Env(name), err)
			}
		}
	}
	if config := flags.Lookup("config"); config != nil {
		o.File = config.Value.String()
		if o.File == "" {
			o.File, o.Optional = filepath.Join(flags.Lookup("home").Value.String(), "worker.toml"), true
		}
	}
	_, err := settings.Apply(flags, o)
	return err
}

// Main runs a command, shows its error and returns the program's exit code.
func Main(ctx context.Context, c *cobra.Command) int {
	if err := c.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(c.ErrOrStderr(), "Error:", err)
		return 1
	}
	return 0
}
