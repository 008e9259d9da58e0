package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cosmossdk.io/math"
	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// tabFlags are what the user says of a new tab.
type tabFlags struct {
	models                   []string
	escrow, price            string
	prompt, output, most     uint64
	audit                    float64
	epoch, expiry            int64
	from                     string
	limit, expires, label    string
	noKey                    bool
	escrowAmount, unitAmount math.Int
}

// usualTab is a tab by the flags' defaults.
func usualTab() tabFlags {
	return tabFlags{escrow: "20note", price: "0.000001note", prompt: 1, output: 4, audit: 5, epoch: 50, from: localnet.AccountBuyer}
}

func tabCommand(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "tab",
		Short: "Tabs: standing jobs that pay for answers, and their API keys",
		Long: `A tab is a standing job with escrow that pays for what models answer. Whoever has an API key
of it asks by OpenAI's routes, with any of their clients, until the key's limit or the escrow
is used up. Answers are audited and settled epoch by epoch while the tab is open.`,
	}
	c.AddCommand(tabOpen(g), tabList(g), tabShow(g), tabEnv(g), tabTopUp(g), tabClose(g), tabKeyCommand(g))
	return c
}

func tabOpen(g *globals) *cobra.Command {
	f := usualTab()
	c := &cobra.Command{
		Use:   "open --models NAME[,NAME...]",
		Short: "Open a tab, and make its first API key",
		Long: `Opens a standing job whose escrow pays for answers of the models named, which the gateway must
have ("cantus model list --gateway URL"). The key that signs the tab's API keys stays in the home
directory. Prints the first API key as the lines that OpenAI's clients read from the environment.

A measured model ("cantus model measured"), by its name or the digits that its digest begins with,
is answered by foreign inference servers: the tab is of kind infer-measured/1. This machine, the
gateway and the workers need its description, and the gateway its vocabulary. What the gateway
itself calls by that name comes first. All models of a tab are of one kind.

What an answer costs: each token of the prompt --prompt-units, each token of the answer
--output-units, each unit --price. For every request under way --max-request units are kept
in reserve; what it did not use comes back at once.`,
		Example: `  eval "$(cantus tab open --models demo --escrow 20note)"
  cantus tab open --models qwen2.5-7b,smollm2 --escrow 500note --price 0.000002note --audit 2 --limit 50note
  cantus tab open --models 5f0c72ab91d4 --audit 20`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
				opened, err := s.openTab(cmd.Context(), &f)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), opened)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "tab %d of kind %s is open: %s for %s; a unit costs %s, a token %d in a prompt and %d in an answer\n",
					opened.Job, opened.Kind, chain.FormatAmount(f.escrowAmount), strings.Join(opened.Models, ", "), chain.FormatAmount(f.unitAmount), f.prompt, f.output)
				if opened.Key == "" {
					return nil
				}
				return printEnv(cmd.OutOrStdout(), opened.BaseURL, opened.Key)
			})(cmd, nil)
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.models, "models", nil, "models that it may use: names, roots, or digests of measured ones")
	fl.StringVar(&f.escrow, "escrow", f.escrow, "the most that it may cost, held in escrow")
	fl.StringVar(&f.price, "price", f.price, "what to pay for one unit")
	fl.Uint64Var(&f.prompt, "prompt-units", f.prompt, "units of a token in a prompt")
	fl.Uint64Var(&f.output, "output-units", f.output, "units of a token in an answer")
	fl.Uint64Var(&f.most, "max-request", 0, "units that one request may cost; 0: a whole context of the longest model, at most 65536")
	fl.Float64Var(&f.audit, "audit", f.audit, "per cent of the answers to audit")
	fl.Int64Var(&f.epoch, "epoch", f.epoch, "commit the receipts every so many blocks")
	fl.Int64Var(&f.expiry, "expiry", 0, "close the tab after so many blocks; 0: the network's longest")
	fl.StringVar(&f.from, "from", f.from, "account that pays")
	fl.StringVar(&f.limit, "limit", "", "what the first API key may spend: an amount, or units (default: the escrow)")
	fl.StringVar(&f.expires, "expires", "", "when that ends: a time like 72h or 30d, or a date (default: never)")
	fl.StringVar(&f.label, "label", "", "whom it is for")
	fl.BoolVar(&f.noKey, "no-key", false, "make no API key yet")
	_ = c.MarkFlagRequired("models")
	_ = c.RegisterFlagCompletionFunc("models", g.completeModels)
	return c
}

// check refuses what can be refused without a network.
func (f *tabFlags) check() (err error) {
	if f.escrowAmount, err = parseAmount("--escrow", f.escrow); err != nil {
		return err
	}
	if f.unitAmount, err = parseAmount("--price", f.price); err != nil {
		return err
	}
	if f.audit <= 0 || f.audit > 100 {
		return usagef("--audit %g: want a percentage above 0 and up to 100", f.audit)
	}
	if f.epoch < 1 {
		return usagef("--epoch %d: want 1 block or more", f.epoch)
	}
	if len(f.models) == 0 || len(f.models) > tab.MaxModels {
		return usagef("--models: %d of them: want 1 to %d", len(f.models), tab.MaxModels)
	}
	if _, err := parseLimit(f.limit, f.unitAmount); err != nil {
		return err
	}
	_, err = parseExpiry(f.expires, time.Now())
	return err
}

// openedTab is what `cantus tab open` ends with.
type openedTab struct {
	Job     uint64    `json:"job"`
	Kind    work.Name `json:"kind"`
	Models  []string  `json:"models"`
	Escrow  string    `json:"escrow"` // anote
	Price   string    `json:"price"`  // of a unit, in anote
	BaseURL string    `json:"base_url"`
	Key     string    `json:"api_key,omitempty"`
	KeyFile string    `json:"key_file"` // of the key that signs API keys
	Record  string    `json:"record"`   // where the tab's API keys are kept
}

// openTab takes a tab from its flags to where its API key is good at the gateway.
func (s *session) openTab(ctx context.Context, f *tabFlags) (openedTab, error) {
	var out openedTab
	gw, err := s.gatewayAPI()
	if err != nil {
		return out, err
	}
	offered, err := offeredModels(ctx, s.net.Gateway)
	if err != nil {
		return out, err
	}
	kind, ordered, err := s.orderedModels(offered, f.models)
	if err != nil {
		return out, err
	}
	spec := &tab.Spec{Version: tab.Version, MaxUnits: f.most}
	out.Kind = kind
	longest := uint64(0)
	for _, m := range ordered {
		m.PromptUnits, m.OutputUnits = f.prompt, f.output
		spec.Models = append(spec.Models, m.Model)
		out.Models = append(out.Models, m.Name)
		longest = max(longest, uint64(m.context)*max(f.prompt, f.output))
	}
	if spec.MaxUnits == 0 {
		spec.MaxUnits = max(f.prompt+f.output, min(longest, tab.DefaultMaxUnits))
	}
	if f.escrowAmount.LT(f.unitAmount.Mul(math.NewIntFromUint64(spec.MaxUnits))) {
		return out, usagef("--escrow %s does not pay for one request of %d units at --price %s: put in more, or lower --max-request", f.escrow, spec.MaxUnits, f.price)
	}
	key, err := s.g.home().NewTabKey()
	if err != nil {
		return out, err
	}
	spec.Key = key.Public()
	b, err := spec.Encode()
	if err != nil {
		return out, usageError{errors.Join(err, s.g.home().ForgetTab(spec.Key.String()))}
	}
	t := home.Tab{Key: spec.Key.String(), Chain: s.net.ChainID, Gateway: s.g.gateway, Account: f.from, Spec: b, Price: f.unitAmount.String()}
	job, err := s.order(ctx, gw, order{
		kind: kind, spec: b, escrow: f.escrowAmount, price: f.unitAmount, audit: f.audit, epoch: f.epoch, expiry: f.expiry,
		from: f.from, flag: "--escrow", sending: func() error { return s.g.home().WriteTab(t) },
	})
	var no *client.Error
	switch {
	case err == nil:
	case errors.Is(err, client.ErrUnconfirmed) || ctx.Err() != nil && !errors.As(err, &no):
		// The ledger may have it: the record stays, and `cantus tab list` looks again.
		return out, fmt.Errorf("%w; `cantus tab list` shows the tab if it was opened", err)
	default:
		_ = s.g.home().ForgetTab(t.Key) // there may be no record yet
		return out, err
	}
	if t, err = s.g.home().UpdateTab(t.Key, func(t *home.Tab) error { t.Job = job; return nil }); err != nil {
		return out, fmt.Errorf("tab %d is open, but could not be noted: %w", job, err)
	}
	out.Job, out.Escrow, out.Price, out.KeyFile, out.Record = job, f.escrowAmount.String(), t.Price, s.g.home().TabKey(t.Key), s.g.home().TabRecord(t.Key)
	c, err := ask.New(s.net.Gateway, "")
	if err != nil {
		return out, err
	}
	out.BaseURL = c.Base()
	if f.noKey {
		return out, nil
	}
	made, err := s.g.makeKey(t, newKey{f.limit, f.expires, f.label})
	if err != nil {
		return out, err
	}
	out.Key = made.Token
	return out, s.taken(ctx, job, made.Token)
}

// takenTime is how long a gateway may take until it works on a job that is on the ledger.
const takenTime = time.Minute

// taken waits until the gateway knows a tab.
func (s *session) taken(ctx context.Context, job uint64, token string) error {
	c, err := ask.New(s.net.Gateway, token)
	if err != nil {
		return err
	}
	for began := time.Now(); ; {
		_, err := c.Spending(ctx)
		if err == nil {
			return nil
		}
		var no *ask.Error
		if !errors.As(err, &no) || time.Since(began) > takenTime {
			return fmt.Errorf("tab %d is open, but its gateway does not work on it yet: %w", job, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func printEnv(w io.Writer, base, key string) error {
	_, err := fmt.Fprintf(w, "export OPENAI_BASE_URL=%s\nexport OPENAI_API_KEY=%s\n", base, key)
	return err
}

// parseLimit reads what an API key may spend: an amount, or units.
func parseLimit(s string, unit math.Int) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n, nil
	}
	amount, err := parseAmount("--limit", s)
	if err != nil {
		return 0, err
	}
	units := amount.Quo(unit)
	if units.IsZero() || !units.IsUint64() {
		return 0, usagef("--limit %s: at %s a unit that is %s units", s, chain.FormatAmount(unit), units)
	}
	return units.Uint64(), nil
}

// parseExpiry reads when an API key ends, as Unix seconds; 0 for never.
func parseExpiry(s string, now time.Time) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return now.AddDate(0, 0, int(n)).Unix(), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d).Unix(), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil && t.After(now) {
			return t.Unix(), nil
		}
	}
	return 0, usagef("--expires %q: want a time from now like 72h or 30d, or a date to come like 2030-12-31", s)
}

// newKey is what the user says of a new API key.
type newKey struct{ limit, expires, label string }

// makeKey makes an API key of a tab. Nobody is asked: the tab's own key signs it.
func (g *globals) makeKey(t home.Tab, k newKey) (home.APIKey, error) {
	var made home.APIKey
	unit, ok := math.NewIntFromString(t.Price)
	if !ok || !unit.IsPositive() {
		return made, fmt.Errorf("the record of tab %d has the price %.40q", t.Job, t.Price)
	}
	limit, err := parseLimit(k.limit, unit)
	if err != nil {
		return made, err
	}
	expires, err := parseExpiry(k.expires, time.Now())
	if err != nil {
		return made, err
	}
	private, err := g.home().ReadTabKey(t)
	if err != nil {
		return made, err
	}
	id, err := tab.NewKeyID(rand.Reader)
	if err != nil {
		return made, err
	}
	token, err := tab.Mint(private, t.Chain, tab.Key{Job: work.JobID(t.Job), ID: id, Limit: limit, Expires: expires, Label: k.label})
	if err != nil {
		return made, usageError{err}
	}
	made = home.APIKey{ID: id.String(), Label: k.label, Limit: limit, Expires: expires, Token: token}
	_, err = g.home().UpdateTab(t.Key, func(t *home.Tab) error { t.Keys = append(t.Keys, made); return nil })
	return made, err
}

func tabTopUp(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:               "topup JOB AMOUNT",
		Short:             "Put more into a tab's escrow",
		Example:           "  cantus tab topup 7 5note",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: g.completeTabs,
		RunE: g.withTab(func(cmd *cobra.Command, s *session, t home.Tab, args []string) error {
			amount, err := parseAmount("the amount", args[0])
			if err != nil {
				return err
			}
			a, err := s.account(t.Account)
			if err != nil {
				return err
			}
			height, hash, err := s.send(cmd.Context(), a.Name, &worktypes.MsgTopUpJob{Buyer: a.Address.String(), Job: t.Job, Amount: amount})
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"job": t.Job, "amount": amount.String(), "height": height, "tx": hash})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "tab %d has %s more, since block %d\n", t.Job, chain.FormatAmount(amount), height)
			return err
		}),
	}
	return c
}

func tabClose(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "close [JOB]",
		Short:             "Close a tab: what was answered is still checked and paid, the rest is refunded",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeTabs,
		RunE: g.withTab(func(cmd *cobra.Command, s *session, t home.Tab, _ []string) error {
			a, err := s.account(t.Account)
			if err != nil {
				return err
			}
			height, hash, err := s.send(cmd.Context(), a.Name, &worktypes.MsgCloseJob{Buyer: a.Address.String(), Job: t.Job})
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"job": t.Job, "height": height, "tx": hash})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "tab %d closes since block %d; `cantus tab show %d` tells when the rest is refunded\n", t.Job, height, t.Job)
			return err
		}),
	}
}
