package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/ledger/chain"
)

type statusView struct {
	Time time.Time `json:"time"`
	home.Network
	Wallet   *wallet  `json:"wallet,omitempty"`
	Height   int64    `json:"height"`
	Enrolled int      `json:"workers_enrolled"`
	Gateways int      `json:"gateways"`
	Jobs     int      `json:"jobs_live"`
	BooksOK  bool     `json:"books_ok"`
	Broken   []string `json:"books_broken,omitempty"`
	Burned   string   `json:"burned"`
	// What the home's gateway says; nil where it does not answer.
	Ready *api.Ready  `json:"gateway_ready,omitempty"`
	Live  []jobStatus `json:"jobs,omitempty"`
	// Trouble is why the above could not be read, while watching.
	Trouble string `json:"trouble,omitempty"`
}

// wallet is what Ethereum wallets such as MetaMask want to know of a chain, in the words of
// EIP-3085: the parameter of wallet_addEthereumChain.
type wallet struct {
	ChainID  string         `json:"chainId"`
	Name     string         `json:"chainName"`
	RPC      []string       `json:"rpcUrls"`
	Currency walletCurrency `json:"nativeCurrency"`
}

type walletCurrency struct {
	Name     string `json:"name"`
	Symbol   string `json:"symbol"`
	Decimals int    `json:"decimals"`
}

// walletOf is nil where the network's JSON-RPC is not known.
func walletOf(n home.Network) *wallet {
	if n.JSONRPC == "" || n.EVMChainID == 0 {
		return nil
	}
	return &wallet{
		ChainID: fmt.Sprintf("0x%x", n.EVMChainID), Name: "Cantus " + n.ChainID, RPC: []string{n.JSONRPC},
		Currency: walletCurrency{Name: "note", Symbol: "NOTE", Decimals: chain.Decimals},
	}
}

type jobStatus struct {
	ID       uint64  `json:"id"`
	Kind     string  `json:"kind"`
	Phase    string  `json:"phase"`
	Trouble  string  `json:"trouble,omitempty"`
	Queued   uint64  `json:"queued"`
	Out      uint64  `json:"out"`
	Receipts uint64  `json:"receipts"`
	Rate     float64 `json:"tasks_per_second"`
	Settled  uint64  `json:"settled_units"`
	Units    uint64  `json:"units"`
}

func statusCommand(g *globals) *cobra.Command {
	var watch bool
	var interval time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the network: its endpoints, height, workers, jobs and whether its books balance",
		Long: `Shows the network: its endpoints, height, workers, jobs and whether its books balance, and what
MetaMask and other Ethereum wallets need to know of it; with --json the field "wallet" is the
parameter of wallet_addEthereumChain.
With --watch it does so again and again until Ctrl-C: drawn over on a terminal, one line
each time in a pipe, one object a line with --json. A network that stops answering is
waited for.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < 100*time.Millisecond {
				return usagef("--interval %v: want at least 100ms", interval)
			}
			if watch {
				return g.watchStatus(cmd.Context(), cmd.OutOrStdout(), interval)
			}
			v, err := g.readStatus(cmd.Context())
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), v)
			}
			return v.print(cmd.OutOrStdout())
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again")
	c.Flags().DurationVar(&interval, "interval", 2*time.Second, "with --watch, how often")
	return c
}

// readStatus asks ledger and gateway.
func (g *globals) readStatus(ctx context.Context) (v statusView, err error) {
	s, err := g.connect(ctx)
	if err != nil {
		return v, err
	}
	defer s.Close()
	return s.status(ctx)
}

func (s *session) status(ctx context.Context) (v statusView, err error) {
	v = statusView{Time: time.Now().UTC().Truncate(time.Millisecond), Network: s.net, Wallet: walletOf(s.net)}
	if v.Height, err = s.ledger.Height(ctx); err != nil {
		return v, err
	}
	ws, err := s.WorkerRecords(ctx, "", "")
	if err != nil {
		return v, err
	}
	gs, err := s.GatewayRecords(ctx)
	if err != nil {
		return v, err
	}
	jobs, err := s.JobRecords(ctx, "", "", true)
	if err != nil {
		return v, err
	}
	books, err := s.Books(ctx)
	if err != nil {
		return v, err
	}
	v.Enrolled, v.Gateways, v.Jobs = len(ws), len(gs), len(jobs)
	v.BooksOK, v.Broken, v.Burned = books.Ok, books.Broken, books.Burned.String()
	// The gateway is no part of the ledger's truth: without it the rest is still good.
	if c, err := s.gatewayAPI(); err == nil {
		s.askGateway(ctx, c, &v)
	}
	return v, nil
}

// gatewayTime bounds what the gateway may hold up.
const gatewayTime = 3 * time.Second

func (s *session) askGateway(ctx context.Context, c *api.Client, v *statusView) {
	ctx, cancel := context.WithTimeout(ctx, gatewayTime)
	defer cancel()
	if r, err := c.Ready(ctx); err == nil {
		v.Ready = &r
	}
	jobs, err := c.Newest(ctx)
	if err != nil {
		return
	}
	for _, j := range jobs {
		if j.Ended != nil {
			continue
		}
		v.Live = append(v.Live, jobStatus{
			ID: j.ID, Kind: string(j.Kind), Phase: j.Phase, Trouble: j.Trouble, Queued: j.Queued, Out: j.Out,
			Receipts: j.Receipts, Rate: j.Rate, Settled: j.SettledUnits, Units: j.Units,
		})
	}
}

func (v statusView) books() string {
	if v.BooksOK {
		return "balance"
	}
	return fmt.Sprintf("DO NOT BALANCE: %v", v.Broken)
}

// ready is the gateway's readiness in one cell of a table.
func (v statusView) ready() string {
	if v.Ready == nil {
		return "does not answer"
	}
	if v.Ready.Ready {
		return fmt.Sprintf("ready, %d workers connected, %d idle", v.Ready.Workers, v.Ready.Idle)
	}
	var why []string
	for _, c := range v.Ready.Checks {
		if !c.OK {
			why = append(why, c.Name+": "+c.Reason)
		}
	}
	return "NOT READY: " + strings.Join(why, "; ")
}

func (v statusView) print(w io.Writer) error {
	rows := [][]string{
		{"network", fmt.Sprintf("%s (EVM chain %d)", v.ChainID, v.EVMChainID)},
		{"height", fmt.Sprint(v.Height)},
		{"gateway", v.Gateway}, {"", v.ready()},
		{"rpc", v.RPC}, {"grpc", v.GRPC}, {"rest", v.REST}, {"json-rpc", v.JSONRPC},
		{"workers", fmt.Sprintf("%d enrolled", v.Enrolled)},
		{"gateways", fmt.Sprint(v.Gateways)},
		{"live jobs", fmt.Sprint(v.Jobs)},
		{"books", v.books()},
		{"burned", notes(v.Burned)},
	}
	if p := v.Wallet; p != nil {
		rows = append(rows, []string{"wallets", fmt.Sprintf("chain ID %s, RPC URL %s, currency %s with %d decimals", p.ChainID, p.RPC[0], p.Currency.Symbol, p.Currency.Decimals)})
	}
	err := table(w, rows)
	if err != nil || len(v.Live) == 0 {
		return err
	}
	rows = [][]string{{"JOB", "KIND", "PHASE", "QUEUED", "OUT", "RECEIPTS", "TASKS/S", "UNITS", "SETTLED", ""}}
	for _, j := range v.Live {
		rows = append(rows, []string{fmt.Sprint(j.ID), j.Kind, j.Phase, fmt.Sprint(j.Queued), fmt.Sprint(j.Out), fmt.Sprint(j.Receipts), fmt.Sprintf("%.1f", j.Rate), fmt.Sprint(j.Units), fmt.Sprint(j.Settled), j.Trouble})
	}
	fmt.Fprintln(w)
	return table(w, rows)
}

// line is the whole in one line, for pipes.
func (v statusView) line() string {
	at := v.Time.Format(time.RFC3339)
	if v.Trouble != "" {
		return at + " " + v.Trouble
	}
	var queued, out, receipts uint64
	for _, j := range v.Live {
		queued, out, receipts = queued+j.Queued, out+j.Out, receipts+j.Receipts
	}
	return fmt.Sprintf("%s height %d, %d live jobs, %d queued, %d out, %d receipts, books %s, gateway %s", at, v.Height, v.Jobs, queued, out, receipts, v.books(), v.ready())
}

// watchStatus shows the network until ctx ends.
func (g *globals) watchStatus(ctx context.Context, w io.Writer, interval time.Duration) error {
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd())) && !g.json
	var s *session
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for first := true; ; first = false {
		var v statusView
		var err error
		if s == nil {
			s, err = g.connect(ctx)
		}
		if err == nil {
			if v, err = s.status(ctx); err != nil {
				s.Close()
				s = nil // what runs next may be at other addresses
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err // a wrong address should not be watched in silence
		case err != nil:
			v = statusView{Time: time.Now().UTC().Truncate(time.Millisecond), Trouble: err.Error()}
		}
		if err := v.show(w, g.json, terminal); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// show writes one round of a watch.
func (v statusView) show(w io.Writer, asJSON, terminal bool) error {
	switch {
	case asJSON:
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case !terminal:
		_, err := fmt.Fprintln(w, v.line())
		return err
	}
	var b strings.Builder
	var err error
	if v.Trouble != "" {
		fmt.Fprintln(&b, v.line())
	} else {
		err = v.print(&b)
	}
	// Home, each line cleared to its end, then what is below: no flicker.
	text := "\x1b[H" + strings.ReplaceAll(b.String(), "\n", "\x1b[K\n") + "\x1b[J"
	_, werr := io.WriteString(w, text)
	return errors.Join(err, werr)
}
