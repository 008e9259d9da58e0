package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cosmossdk.io/math"
	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// tabs are the home's tabs. Those that the ledger was asked to open, and that it opened
// though nobody heard its answer, get their number.
func (s *session) tabs(ctx context.Context) ([]home.Tab, error) {
	tabs, err := s.g.home().Tabs()
	if err != nil {
		return nil, err
	}
	for i, t := range tabs {
		if t.Job != 0 || t.Chain != s.net.ChainID {
			continue
		}
		a, err := s.account(t.Account)
		if err != nil {
			continue // its account was removed: nothing can be asked
		}
		jobs, err := s.JobRecords(ctx, a.Address.String(), "", false)
		if err != nil {
			return nil, err
		}
		digest := artifact.Sum(t.Spec)
		for _, j := range jobs {
			if isTab(work.Name(j.Kind)) && string(j.SpecDigest) == string(digest[:]) {
				if tabs[i], err = s.g.home().UpdateTab(t.Key, func(t *home.Tab) error { t.Job = j.Id; return nil }); err != nil {
					return nil, err
				}
			}
		}
	}
	return slices.DeleteFunc(tabs, func(t home.Tab) bool { return t.Job == 0 || t.Chain != s.net.ChainID }), nil
}

// withTab makes a command's body of f, on the tab that the first argument names, or the
// only open one. F gets the arguments behind it.
func (g *globals) withTab(f func(cmd *cobra.Command, s *session, t home.Tab, args []string) error) func(*cobra.Command, []string) error {
	return g.withSession(func(cmd *cobra.Command, s *session, args []string) error {
		tabs, err := s.tabs(cmd.Context())
		if err != nil {
			return err
		}
		if len(args) > 0 {
			id, err := parseJobID(args[0])
			if err != nil {
				return err
			}
			i := slices.IndexFunc(tabs, func(t home.Tab) bool { return t.Job == uint64(id) })
			if i < 0 {
				return fmt.Errorf("job %d is no tab that was opened from %s: `cantus tab list` shows those", id, g.home())
			}
			return f(cmd, s, tabs[i], args[1:])
		}
		var open []home.Tab
		for _, t := range tabs {
			j, err := s.Job(cmd.Context(), work.JobID(t.Job))
			if err != nil {
				return err
			}
			if j.Status == work.JobOpen {
				open = append(open, t)
			}
		}
		switch len(open) {
		case 1:
			return f(cmd, s, open[0], nil)
		case 0:
			return fmt.Errorf("no tab is open here: `cantus tab open` opens one, `cantus tab list` shows those there were")
		}
		return usagef("%d tabs are open: say which by its job (`cantus tab list`)", len(open))
	})
}

// tabView is a tab for people and scripts.
type tabView struct {
	Job     uint64    `json:"job"`
	Kind    work.Name `json:"kind"`
	Status  string    `json:"status"`
	Models  []string  `json:"models"`
	Escrow  string    `json:"escrow"`
	Price   string    `json:"price"`
	Spent   string    `json:"spent"` // by what the gateway has receipts for
	Unspent string    `json:"left"`  // of the escrow
	Units   uint64    `json:"units"` // that the gateway has receipts for
	Base    string    `json:"base_url"`
	Keys    []keyView `json:"keys"`
}

type keyView struct {
	ID       string  `json:"id"`
	Label    string  `json:"label,omitempty"`
	Limit    uint64  `json:"limit"`
	Expires  string  `json:"expires,omitempty"`
	State    string  `json:"state"`
	Spent    *uint64 `json:"spent,omitempty"` // units; nothing where the gateway does not say
	Requests *uint64 `json:"requests,omitempty"`
}

// gatewayOf is the URL of a tab's gateway.
func (g *globals) gatewayOf(t home.Tab) (string, error) {
	switch {
	case g.gateway != "":
		return g.gateway, nil
	case t.Gateway != "":
		return t.Gateway, nil
	}
	net, err := g.home().ReadNetwork()
	if err != nil {
		return "", fmt.Errorf("the gateway of tab %d: %w", t.Job, err)
	}
	if net.ChainID != t.Chain || net.Gateway == "" {
		return "", fmt.Errorf("the gateway of tab %d: the network %s runs here, with the gateway %q, and the tab is on %s: name its gateway with --gateway", t.Job, net.ChainID, net.Gateway, t.Chain)
	}
	return net.Gateway, nil
}

func (s *session) viewTab(ctx context.Context, t home.Tab, usage bool) (tabView, error) {
	j, err := s.Job(ctx, work.JobID(t.Job))
	if err != nil {
		return tabView{}, err
	}
	v := tabView{Job: t.Job, Kind: j.Kind, Status: string(j.Status), Escrow: j.Escrow.String(), Price: j.Price.String(), Units: j.Units, Models: []string{}, Keys: []keyView{}}
	if spec, err := tab.Decode(t.Spec); err == nil {
		for _, m := range spec.Models {
			v.Models = append(v.Models, m.Name)
		}
	}
	if v.Base, err = s.g.gatewayOf(t); err == nil {
		if c, err := ask.New(v.Base, ""); err == nil {
			v.Base = c.Base()
		}
		if gw, err := s.gatewayAPI(); err == nil {
			if at, err := gw.Job(ctx, work.JobID(t.Job)); err == nil {
				v.Units = max(v.Units, at.Units)
			}
		}
	}
	escrow, price := math.NewIntFromBigInt(j.Escrow), math.NewIntFromBigInt(j.Price)
	spent := price.Mul(math.NewIntFromUint64(v.Units))
	v.Spent, v.Unspent = spent.String(), math.MaxInt(math.ZeroInt(), escrow.Sub(spent)).String()
	if j.Status == work.JobClosed || j.Status == work.JobFaulted {
		v.Unspent = "0"
	}
	for _, k := range t.Keys {
		kv := keyView{ID: k.ID, Label: k.Label, Limit: k.Limit, State: "good"}
		if k.Expires != 0 {
			kv.Expires = time.Unix(k.Expires, 0).UTC().Format(time.RFC3339)
		}
		switch {
		case k.Revoked:
			kv.State = "revoked"
		case k.Expires != 0 && time.Now().Unix() >= k.Expires:
			kv.State = "expired"
		}
		if usage && kv.State == "good" {
			if c, err := ask.New(strings.TrimSuffix(v.Base, "/v1"), k.Token); err == nil {
				if sp, err := c.Spending(ctx); err == nil {
					kv.Spent, kv.Requests = &sp.Spent, &sp.Requests
				}
			}
		}
		v.Keys = append(v.Keys, kv)
	}
	return v, nil
}

func tabList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tabs that were opened from this home",
		Args:  cobra.NoArgs,
		RunE: g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
			tabs, err := s.tabs(cmd.Context())
			if err != nil {
				return err
			}
			views := []tabView{}
			rows := [][]string{{"TAB", "STATUS", "KIND", "MODELS", "ESCROW", "SPENT", "LEFT", "KEYS"}}
			for _, t := range tabs {
				v, err := s.viewTab(cmd.Context(), t, false)
				if err != nil {
					return err
				}
				views = append(views, v)
				rows = append(rows, []string{fmt.Sprint(v.Job), v.Status, string(v.Kind), strings.Join(v.Models, ","), notes(v.Escrow), notes(v.Spent), notes(v.Unspent), fmt.Sprint(len(v.Keys))})
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), views)
			}
			return table(cmd.OutOrStdout(), rows)
		}),
	}
}

func tabShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "show [JOB]",
		Short:             "Show a tab: its API keys and what they spent, its epochs, audits and money",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeTabs,
		RunE: g.withTab(func(cmd *cobra.Command, s *session, t home.Tab, _ []string) error {
			v, err := s.viewTab(cmd.Context(), t, true)
			if err != nil {
				return err
			}
			account, err := s.AccountOf(cmd.Context(), work.JobID(t.Job))
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), struct {
					tabView
					Account market.Account `json:"account"`
				}{v, account})
			}
			out := cmd.OutOrStdout()
			if err := table(out, [][]string{
				{"tab", fmt.Sprintf("%d, %s", v.Job, v.Status)}, {"kind", string(v.Kind)}, {"models", strings.Join(v.Models, ", ")}, {"base URL", v.Base},
				{"spent", fmt.Sprintf("%s of %s, %d units at %s", notes(v.Spent), notes(v.Escrow), v.Units, notes(v.Price))},
			}); err != nil {
				return err
			}
			fmt.Fprintln(out)
			if err := printKeys(cmd, v.Keys); err != nil {
				return err
			}
			fmt.Fprintln(out)
			return printAccount(out, account)
		}),
	}
}

func printKeys(cmd *cobra.Command, keys []keyView) error {
	rows := [][]string{{"KEY", "STATE", "SPENT", "LIMIT", "REQUESTS", "EXPIRES", "LABEL"}}
	number := func(n *uint64) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	for _, k := range keys {
		limit, expires := "escrow", k.Expires
		if k.Limit > 0 {
			limit = fmt.Sprint(k.Limit)
		}
		if expires == "" {
			expires = "never"
		}
		rows = append(rows, []string{k.ID, k.State, number(k.Spent), limit, number(k.Requests), expires, k.Label})
	}
	return table(cmd.OutOrStdout(), rows)
}

func tabEnv(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "env [JOB]",
		Short:             "Print OPENAI_BASE_URL and an API key of a tab as lines for a shell",
		Example:           `  eval "$(cantus tab env)"`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeTabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f := askFlags{}
			if len(args) > 0 {
				id, err := parseJobID(args[0])
				if err != nil {
					return err
				}
				f.tab = uint64(id)
			}
			base, key, err := g.credentials(f)
			if err != nil {
				return err
			}
			c, err := ask.New(base, key)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]string{"base_url": c.Base(), "api_key": key})
			}
			return printEnv(cmd.OutOrStdout(), c.Base(), key)
		},
	}
}

func tabKeyCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "API keys of a tab: made here, good at once, void at once"}
	var k newKey
	create := &cobra.Command{
		Use:   "create [JOB]",
		Short: "Make an API key of a tab",
		Long: `Makes an API key. The tab's own key signs it, so nobody has to be asked and it is good at
once. What it may spend counts for itself: all keys together can't spend more than the escrow.`,
		Example:           "  cantus tab key create 7 --limit 2note --expires 30d --label alice",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeTabs,
		RunE: g.withTab(func(cmd *cobra.Command, s *session, t home.Tab, _ []string) error {
			made, err := g.makeKey(t, k)
			if err != nil {
				return err
			}
			base, err := g.gatewayOf(t)
			if err != nil {
				return err
			}
			c, err := ask.New(base, made.Token)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"job": t.Job, "id": made.ID, "api_key": made.Token, "base_url": c.Base(), "limit": made.Limit, "expires": made.Expires, "label": made.Label})
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "key %s of tab %d\n", made.ID, t.Job)
			return printEnv(cmd.OutOrStdout(), c.Base(), made.Token)
		}),
	}
	create.Flags().StringVar(&k.limit, "limit", "", "what it may spend: an amount, or units (default: the escrow)")
	create.Flags().StringVar(&k.expires, "expires", "", "when it ends: a time like 72h or 30d, or a date (default: never)")
	create.Flags().StringVar(&k.label, "label", "", "whom it is for")
	list := &cobra.Command{
		Use:               "list [JOB]",
		Short:             "List a tab's API keys and what they spent",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeTabs,
		RunE: g.withTab(func(cmd *cobra.Command, s *session, t home.Tab, _ []string) error {
			v, err := s.viewTab(cmd.Context(), t, true)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), v.Keys)
			}
			return printKeys(cmd, v.Keys)
		}),
	}
	revoke := &cobra.Command{
		Use:   "revoke JOB KEY...",
		Short: "Make API keys void, by their IDs or their labels",
		Args:  cobra.MinimumNArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return g.completeTabs(cmd, args, toComplete)
			}
			return g.completeKeys(args[0]), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: g.withTab(func(cmd *cobra.Command, s *session, t home.Tab, args []string) error {
			n, err := s.revoke(cmd.Context(), t, args)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"job": t.Job, "revoked": n})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d keys of tab %d are void\n", n, t.Job)
			return err
		}),
	}
	c.AddCommand(create, list, revoke)
	return c
}

// revoke signs a new list of a tab's void keys and hands it to the gateway.
func (s *session) revoke(ctx context.Context, t home.Tab, refs []string) (int, error) {
	private, err := s.g.home().ReadTabKey(t)
	if err != nil {
		return 0, err
	}
	base, err := s.g.gatewayOf(t)
	if err != nil {
		return 0, err
	}
	c, err := ask.New(base, "")
	if err != nil {
		return 0, err
	}
	n := 0
	var list []byte
	// Noted first: a list that a gateway has and the home forgot could not be followed by
	// another with the same number.
	_, err = s.g.home().UpdateTab(t.Key, func(t *home.Tab) error {
		for _, ref := range refs {
			found := false
			for i := range t.Keys {
				if k := &t.Keys[i]; k.ID == ref || k.Label == ref && ref != "" {
					found = true
					if !k.Revoked {
						n++
					}
					k.Revoked = true
				}
			}
			if !found {
				return usagef("tab %d has no API key %q: `cantus tab key list %d` shows those that were made here", t.Job, ref, t.Job)
			}
		}
		void := tab.Revocations{Job: work.JobID(t.Job), Number: t.Lists + 1}
		for _, k := range t.Keys {
			if !k.Revoked {
				continue
			}
			id, err := tab.ParseKeyID(k.ID)
			if err != nil {
				return err
			}
			void.IDs = append(void.IDs, id)
		}
		t.Lists = void.Number
		var err error
		list, err = tab.Revoke(private, t.Chain, void)
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := c.Revoke(ctx, list); err != nil {
		return 0, fmt.Errorf("the keys are noted as void here, but the gateway does not know yet, and takes them: %w; do it again", err)
	}
	return n, nil
}

// completeTabs offers the home's tabs to a shell.
func (g *globals) completeTabs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	tabs, err := g.home().Tabs()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, t := range tabs {
		if t.Job != 0 {
			out = append(out, strconv.FormatUint(t.Job, 10))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (g *globals) completeKeys(job string) []string {
	tabs, err := g.home().Tabs()
	if err != nil {
		return nil
	}
	var out []string
	for _, t := range tabs {
		if strconv.FormatUint(t.Job, 10) != job {
			continue
		}
		for _, k := range t.Keys {
			if !k.Revoked {
				out = append(out, k.ID+"\t"+k.Label)
			}
		}
	}
	return out
}

// completeModels offers the models of this home's directory.
func (g *globals) completeModels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	list, err := modeldir.At(g.home().Models()).List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
