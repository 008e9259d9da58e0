package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/desk"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/keys"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/models"
	"github.com/cantus-network/cantus/work"
)

// offerFlags are what the user says of an offer to contracts.
type offerFlags struct {
	model, from, cell, models    string
	pages                        bool
	price, fee                   string
	prompt, output               uint64
	maxPrompt, maxAnswer, tokens uint32
	audit                        float64
	epoch, expiry                int64
	unitAmount, feeAmount        math.Int
}

// What a unit costs where nobody says: one of the model's, of which an answer has hundreds,
// and a page.
const (
	usualUnit = "0.000001note"
	usualPage = "0.001note"
)

// usualEpoch is as short as can be: each answer has a job of its own with a receipt or a few,
// and draws of an epoch's receipts are independent, so that one that shares its epoch with
// others may not be drawn.
const usualEpoch = 1

// usualOffer is an offer by the flags' defaults. All that workers do for contracts is audited.
func usualOffer() offerFlags {
	return offerFlags{from: "gateway", fee: "0.002note", prompt: 1, output: 4, audit: 100, epoch: usualEpoch, expiry: 600}
}

func gatewayOffer(g *globals) *cobra.Command {
	f := usualOffer()
	c := &cobra.Command{
		Use:   "offer --model NAME | --pages",
		Short: "Offer a model or pages of the web to contracts, or change the offer's terms",
		Long: `Offers answers of a model, or pages of the web, to contracts, which ask by the precompiled
contract ICantus. The running gateway sees their requests on the ledger, has its workers answer
them and brings the answers with the evidence that the ledger wants. Requests that were made keep
their terms.

What a contract pays: each token of its prompt --prompt-units, each token of the answer
--output-units, each unit --price; --delivery-fee for the transaction that brings the answer;
the gas of its callback; and for each byte that the ledger keeps. What it did not use it gets
back. A prompt and an answer must always fit the model's context, even at a byte a token.

A page costs one unit, and the robots.txt that is read before it one more for each response.
With --pages both the bodies and the texts of pages are offered.`,
		Example: `  cantus gateway offer --model demo
  cantus gateway offer --model smollm2 --price 0.000002note --max-tokens 512 --max-prompt 4000
  cantus gateway offer --pages --price 0.002note`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
				if f.pages {
					list, err := s.offerPages(cmd.Context(), f)
					if err != nil {
						return err
					}
					if g.json {
						return printJSON(cmd.OutOrStdout(), list)
					}
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "contracts fetch pages: addresses up to %d bytes, contents up to %d bytes; longer ones by digest\n", list[0].MaxPrompt, list[0].MaxAnswer)
					return err
				}
				o, err := s.offer(cmd.Context(), f)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), o)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "contracts ask %s as %s: prompts up to %d bytes, answers up to %d tokens\n", o.Name, o.Speaker, o.MaxPrompt, o.MaxTokens)
				return err
			})(cmd, nil)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.model, "model", "", "name or root of a model in this home's models directory")
	fl.BoolVar(&f.pages, "pages", false, "offer pages of the web, their bodies and their texts, instead of a model")
	fl.StringVar(&f.models, "models", "", "`directory` of the models (default: models in --home)")
	fl.StringVar(&f.from, "from", f.from, "the gateway's account")
	fl.StringVar(&f.cell, "cell", "", "the `cell` of the gateway that answers")
	fl.StringVar(&f.price, "price", "", "what a unit costs (default "+usualUnit+", of pages "+usualPage+")")
	fl.StringVar(&f.fee, "delivery-fee", f.fee, "what bringing an answer costs")
	fl.Uint64Var(&f.prompt, "prompt-units", f.prompt, "units of a token in a prompt")
	fl.Uint64Var(&f.output, "output-units", f.output, "units of a token in an answer")
	fl.Uint32Var(&f.tokens, "max-tokens", 0, "tokens of an answer; 0: a quarter of the model's context, at most 256")
	fl.Uint32Var(&f.maxPrompt, "max-prompt", 0, "bytes of a prompt; 0: what the context leaves, at most 4096; of an address 0: 2048")
	fl.Uint32Var(&f.maxAnswer, "max-answer", 0, "bytes of an answer that the ledger keeps, longer ones by digest; 0: the most that it takes")
	fl.Float64Var(&f.audit, "audit", f.audit, "per cent of the units to audit")
	fl.Int64Var(&f.epoch, "epoch", f.epoch, "commit receipts every so many blocks")
	fl.Int64Var(&f.expiry, "expiry", f.expiry, "begin nothing for a request after so many blocks")
	c.MarkFlagsOneRequired("model", "pages")
	for _, other := range []string{"model", "models", "prompt-units", "output-units", "max-tokens"} {
		c.MarkFlagsMutuallyExclusive("pages", other)
	}
	return c
}

func (f *offerFlags) check() (err error) {
	price := usualUnit
	if f.pages {
		price = usualPage
	}
	f.price = cmp.Or(f.price, price)
	if f.unitAmount, err = parseAmount("--price", f.price); err != nil {
		return err
	}
	if f.feeAmount, err = parseAmount("--delivery-fee", f.fee); err != nil {
		return err
	}
	switch {
	case f.audit <= 0 || f.audit > 100:
		return usagef("--audit %g: want a percentage above 0 and up to 100", f.audit)
	case f.epoch < 1:
		return usagef("--epoch %d: want 1 block or more", f.epoch)
	case f.expiry < 1:
		return usagef("--expiry %d: want 1 block or more", f.expiry)
	}
	return nil
}

// contractOffer is what `cantus gateway offer` ends with.
type contractOffer struct {
	Speaker   speaker.ID      `json:"-"`
	ID        string          `json:"speaker"`
	Name      string          `json:"name"`
	Model     artifact.Digest `json:"model,omitzero"`
	Gateway   string          `json:"gateway"`
	Spec      artifact.Digest `json:"spec"`
	MaxPrompt uint32          `json:"max_prompt_bytes"`
	MaxAnswer uint32          `json:"max_answer_bytes"`
	MaxTokens uint32          `json:"max_tokens,omitempty"`
}

// offering is what every offer of a gateway needs: its account, its key, and the prices.
func (s *session) offering(ctx context.Context, f offerFlags) (a keys.Account, key work.PublicKey, p desk.Prices, err error) {
	if a, err = s.account(f.from); err != nil {
		return a, key, p, err
	}
	rec, err := s.GatewayRecord(ctx, a.Address.String())
	if err != nil {
		return a, key, p, fmt.Errorf("%w; bond it first with `cantus gateway register`", err)
	}
	me, err := market.PlainGateway(rec)
	if err != nil {
		return a, key, p, err
	}
	params, err := s.Params(ctx)
	return a, me.Key, desk.Prices{
		Price: f.unitAmount, DeliveryFee: f.feeAmount, PromptUnits: f.prompt, OutputUnits: f.output,
		MaxPrompt: f.maxPrompt, MaxAnswer: f.maxAnswer, MaxTokens: f.tokens,
		AuditBps: max(uint32(f.audit*100), params.MinAuditBps), Epoch: f.epoch, Expiry: min(f.expiry, params.MaxJobBlocks),
	}, err
}

// offerPages makes the offers of pages on the ledger, or changes them.
func (s *session) offerPages(ctx context.Context, f offerFlags) ([]contractOffer, error) {
	a, _, prices, err := s.offering(ctx, f)
	if err != nil {
		return nil, err
	}
	var msgs []sdk.Msg
	var list []contractOffer
	for _, form := range []requeststypes.Form{requeststypes.Body, requeststypes.Text} {
		msg, spec, err := desk.OfferPages(a.Address.String(), f.cell, form, prices)
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, msg)
		list = append(list, contractOffer{
			Speaker: form.ID(), ID: form.ID().String(), Name: "page/" + form.String(), Gateway: a.Address.String(), Spec: artifact.Sum(spec),
			MaxPrompt: msg.Terms.MaxPromptBytes, MaxAnswer: msg.Terms.MaxAnswerBytes,
		})
	}
	if _, _, err := s.send(ctx, a.Name, msgs...); err != nil {
		return nil, fmt.Errorf("offer pages: %w", err)
	}
	return list, nil
}

// offer makes an offer of a model on the ledger, or changes it.
func (s *session) offer(ctx context.Context, f offerFlags) (contractOffer, error) {
	var out contractOffer
	a, key, prices, err := s.offering(ctx, f)
	if err != nil {
		return out, err
	}
	if f.models == "" {
		f.models = s.g.home().Models()
	}
	m, err := modeldir.At(f.models).Open(f.model)
	if err != nil {
		return out, err
	}
	v, err := infer.Voice(artifact.Digest(m.Root), &infer.Card{Config: m.Config, Tokenizer: m.Tokenizer})
	if err != nil {
		return out, err
	}
	msg, spec, err := desk.Offer(a.Address.String(), f.cell, key, v, m.Config.Context, prices)
	if err != nil {
		return out, err
	}
	if _, _, err := s.send(ctx, a.Name, msg); err != nil {
		return out, fmt.Errorf("offer %s: %w", m.Name, err)
	}
	return contractOffer{
		Speaker: v.ID(), ID: v.ID().String(), Name: m.Name, Model: artifact.Digest(m.Root), Gateway: a.Address.String(), Spec: artifact.Sum(spec),
		MaxPrompt: msg.Terms.MaxPromptBytes, MaxAnswer: msg.Terms.MaxAnswerBytes, MaxTokens: msg.Terms.MaxTokens,
	}, nil
}

func gatewayOffers(g *globals) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "offers",
		Short: "List the offers to contracts",
		Args:  cobra.NoArgs,
		RunE: g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
			gateway := ""
			if from != "" {
				a, err := s.account(from)
				if err != nil {
					return err
				}
				gateway = a.Address.String()
			}
			list, err := s.offers(cmd.Context(), gateway)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			rows := [][]string{{"NAME", "SPEAKER", "GATEWAY", "UNIT", "IN", "OUT", "DELIVERY", "PROMPT", "TOKENS", "AUDIT"}}
			for _, o := range list {
				t := o.Terms
				rows = append(rows, []string{
					o.Name, o.Speaker, o.Gateway, chain.FormatAmount(t.Price), fmt.Sprint(t.PromptUnits), fmt.Sprint(t.OutputUnits), chain.FormatAmount(t.DeliveryFee),
					fmt.Sprint(t.MaxPromptBytes), fmt.Sprint(t.MaxTokens), percent(t.AuditBps),
				})
			}
			return table(cmd.OutOrStdout(), rows)
		}),
	}
	c.Flags().StringVar(&from, "from", "", "only those of this account")
	return c
}

// offerRow is an offer with its speaker's ID as contracts write it.
type offerRow struct {
	Name    string              `json:"name,omitempty"` // of a reader of pages
	Speaker string              `json:"speaker"`
	Gateway string              `json:"gateway"`
	Terms   requeststypes.Terms `json:"terms"`
	Height  int64               `json:"height"`
}

// offers lists offers, all or a gateway's.
func (s *session) offers(ctx context.Context, gateway string) ([]offerRow, error) {
	q := requeststypes.NewQueryClient(s.ledger.Conn())
	list := []offerRow{}
	for key := []byte(nil); ; {
		r, err := q.Offers(ctx, &requeststypes.QueryOffersRequest{Gateway: gateway, Pagination: &query.PageRequest{Key: key, Limit: 200}})
		if err != nil {
			return nil, fmt.Errorf("list the offers to contracts: %w", err)
		}
		for _, o := range r.Offers {
			if len(o.Speaker) != len(speaker.ID{}) {
				return nil, fmt.Errorf("list the offers to contracts: %d bytes of a speaker's ID", len(o.Speaker))
			}
			name := ""
			if f, ok := requeststypes.FormByID(o.Speaker); ok {
				name = "page/" + f.String()
			}
			list = append(list, offerRow{Name: name, Speaker: speaker.ID(o.Speaker).String(), Gateway: o.Gateway, Terms: o.Terms, Height: o.Height})
		}
		if r.Pagination == nil || len(r.Pagination.NextKey) == 0 {
			return list, nil
		}
		key = r.Pagination.NextKey
	}
}

func gatewayWithdraw(g *globals) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "withdraw SPEAKER",
		Short: "Withdraw an offer to contracts; requests that were made are still answered",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := speaker.ParseID(args[0])
			if err != nil {
				return usageError{err}
			}
			return g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
				a, err := s.account(from)
				if err != nil {
					return err
				}
				height, hash, err := s.send(cmd.Context(), a.Name, &requeststypes.MsgWithdrawOffer{Gateway: a.Address.String(), Speaker: id[:]})
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), map[string]any{"speaker": id.String(), "height": height, "tx": hash})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is not offered by %s any more, since block %d\n", id, a.Address, height)
				return err
			})(cmd, nil)
		},
	}
	c.Flags().StringVar(&from, "from", "gateway", "the gateway's account")
	return c
}

// offerDemo offers the demo model to contracts, unless an earlier run did.
func (g *globals) offerDemo(ctx context.Context, s *session) (string, error) {
	f := usualOffer()
	f.model = models.DemoName
	if err := f.check(); err != nil {
		return "", err
	}
	m, err := modeldir.At(g.home().Models()).Open(f.model)
	if err != nil {
		return "", err
	}
	v, err := infer.Voice(artifact.Digest(m.Root), &infer.Card{Config: m.Config, Tokenizer: m.Tokenizer})
	if err != nil {
		return "", err
	}
	a, err := s.account(f.from)
	if err != nil {
		return "", err
	}
	made, err := s.hasOffered(ctx, a, v.ID())
	if err != nil || made {
		return v.ID().String(), err
	}
	o, err := s.offer(ctx, f)
	return o.ID, err
}

// offerUsualPages has a one-machine network offer pages to contracts, unless an earlier run
// did.
func (g *globals) offerUsualPages(ctx context.Context, net home.Network) error {
	s, err := g.connectTo(ctx, net)
	if err != nil {
		return err
	}
	defer s.Close()
	f := usualOffer()
	f.pages = true
	if err := f.check(); err != nil {
		return err
	}
	a, err := s.account(f.from)
	if err != nil {
		return err
	}
	made, err := s.hasOffered(ctx, a, requeststypes.Body.ID(), requeststypes.Text.ID())
	if err != nil || made {
		return err
	}
	_, err = s.offerPages(ctx, f)
	return err
}

// hasOffered reports whether an account offers all of these to contracts.
func (s *session) hasOffered(ctx context.Context, a keys.Account, all ...speaker.ID) (bool, error) {
	made, err := s.offers(ctx, a.Address.String())
	if err != nil {
		return false, err
	}
	for _, id := range all {
		if !slices.ContainsFunc(made, func(o offerRow) bool { return o.Speaker == id.String() }) {
			return false, nil
		}
	}
	return true, nil
}
