package cli

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cosmossdk.io/math"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/ledger/chain"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// shownRequest is a contract's request as people and scripts see it. Amounts are anote.
type shownRequest struct {
	ID           uint64                 `json:"id"`
	Status       string                 `json:"status"`
	Policy       string                 `json:"policy"`
	Model        string                 `json:"model"`
	Form         string                 `json:"page,omitempty"` // "body" or "text" where it is no model
	Payer        string                 `json:"payer"`
	Callback     string                 `json:"callback,omitempty"`
	CallbackGas  uint64                 `json:"callback_gas,omitempty"`
	Prompt       *string                `json:"prompt,omitempty"` // while it is open
	PromptDigest string                 `json:"prompt_sha256,omitempty"`
	Sampling     requeststypes.Sampling `json:"sampling"`
	Answer       *string                `json:"answer,omitempty"`
	AnswerHex    string                 `json:"answer_hex,omitempty"`
	Page         *shownPage             `json:"answer_page,omitempty"`
	Digested     bool                   `json:"answer_is_sha256,omitempty"`
	Label        string                 `json:"label,omitempty"`
	Receipt      string                 `json:"receipt_sha256,omitempty"`
	Worker       string                 `json:"worker,omitempty"`
	Job          uint64                 `json:"job"`
	JobStatus    string                 `json:"job_status"`
	Epoch        uint64                 `json:"epoch,omitempty"`
	Gateway      string                 `json:"gateway"`
	Opened       int64                  `json:"opened_height"`
	Answered     int64                  `json:"answered_height,omitempty"`
	Ended        int64                  `json:"ended_height,omitempty"`
	Calls        uint32                 `json:"calls"`
	CallFailed   bool                   `json:"call_failed,omitempty"`
	Fee          math.Int               `json:"fee"`
	Escrow       math.Int               `json:"escrow"`
	Held         math.Int               `json:"held"`
	Burned       math.Int               `json:"burned"`
	Delivered    math.Int               `json:"delivered"`
	GasPaid      math.Int               `json:"gas_paid"`
	Returned     math.Int               `json:"returned"`
	Refunded     math.Int               `json:"job_refunded"`
}

// shownPage is a page as a contract was told it.
type shownPage struct {
	Status    uint16    `json:"status"`
	Time      time.Time `json:"time"`
	MediaType string    `json:"media_type,omitempty"`
	Location  string    `json:"location,omitempty"`
	Cut       bool      `json:"cut,omitempty"`
	Digest    string    `json:"sha256"`
	Content   *string   `json:"content,omitempty"` // where it is there and UTF-8
	Bytes     []byte    `json:"content_base64,omitempty"`
}

// showPage reads an answer to a request for a page.
func showPage(answer []byte) (*shownPage, error) {
	p, err := requeststypes.DecodePage(answer)
	if err != nil {
		return nil, err
	}
	v := &shownPage{
		Status: p.Status, Time: time.Unix(int64(min(p.Time, 1<<40)), 0).UTC(), MediaType: p.MediaType, Location: p.Location, Cut: p.Cut,
		Digest: hexutil.Encode(p.Digest[:]),
	}
	if utf8.Valid(p.Content) && len(p.Content) > 0 {
		text := string(p.Content)
		v.Content = &text
	} else {
		v.Bytes = p.Content
	}
	return v, nil
}

// rows tell people of a page.
func (p *shownPage) rows() [][]string {
	said := fmt.Sprintf("status %d, seen %s", p.Status, p.Time.Format(time.DateTime))
	if p.MediaType != "" {
		said += ", " + p.MediaType
	}
	if p.Cut {
		said += ", not all of it"
	}
	rows := [][]string{{"answer", said}}
	if p.Location != "" {
		rows = append(rows, []string{"  leads to", p.Location})
	}
	switch {
	case p.Content != nil:
		rows = append(rows, []string{"  content", strconv.Quote(*p.Content)})
	case len(p.Bytes) > 0:
		rows = append(rows, []string{"  content", fmt.Sprintf("%d bytes that are no text", len(p.Bytes))})
	case p.Digest == hexutil.Encode(make([]byte, 32)):
		rows = append(rows, []string{"  content", "none: the page has no text"})
	case p.Digest == emptyDigest:
		rows = append(rows, []string{"  content", "empty"})
	default:
		rows = append(rows, []string{"  content", "too long for the ledger"})
	}
	return append(rows, []string{"  sha256", p.Digest})
}

// emptyDigest is the SHA-256 of nothing.
var emptyDigest = hexutil.Encode(sha256.New().Sum(nil))

func requestCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "request ID",
		Short: "Show what a contract asked for, and what came of it",
		Long: `Shows a request to a model or for a page that a contract made by the precompiled contract ICantus:
its answer, how that was checked, the job that it was answered in, and where its fee went. docs/contracts.md tells how
contracts ask.`,
		Example: `  cantus request 7
  cantus job show $(cantus request 7 --json | jq .job)`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || id == 0 {
				return usagef("request %q: want its number, from 1", args[0])
			}
			return g.withSession(func(cmd *cobra.Command, s *session, _ []string) error {
				v, err := s.request(cmd.Context(), id)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), v)
				}
				return v.print(cmd.OutOrStdout())
			})(cmd, nil)
		},
	}
}

// request reads a request and its job.
func (s *session) request(ctx context.Context, id uint64) (*shownRequest, error) {
	res, err := requeststypes.NewQueryClient(s.ledger.Conn()).Request(ctx, &requeststypes.QueryRequestRequest{Id: id})
	if market.NotFound(err) {
		return nil, fmt.Errorf("no contract made a request %d: %w", id, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read request %d: %w", id, err)
	}
	r := res.Request
	j, err := s.JobRecord(ctx, work.JobID(r.Job))
	if err != nil {
		return nil, err
	}
	plain, err := market.PlainJob(j)
	if err != nil {
		return nil, err
	}
	payer, err := parseAddress(r.Payer)
	if err != nil {
		return nil, err
	}
	v := &shownRequest{
		ID: r.Id, Status: strings.ToLower(strings.TrimPrefix(r.Status.String(), "STATUS_")), Policy: policyName(r.Policy),
		Model: hexutil.Encode(r.Speaker), Payer: common.BytesToAddress(payer).Hex(), Sampling: r.Sampling, Digested: r.Digested, Label: r.Label,
		Job: r.Job, JobStatus: string(plain.Status), Epoch: r.Epoch, Gateway: r.Gateway, Opened: r.OpenedHeight, Answered: r.AnsweredHeight, Ended: r.EndedHeight,
		Calls: r.Calls, CallFailed: r.CallFailed, Fee: r.Fee, Escrow: r.Escrow, Held: r.Held, Burned: r.Burned, Delivered: r.Delivered,
		GasPaid: r.GasPaid, Returned: r.Returned, Refunded: j.Refunded,
	}
	form, isPage := requeststypes.FormByID(r.Speaker)
	if isPage {
		v.Form = form.String()
	}
	if len(r.Callback) > 0 {
		v.Callback, v.CallbackGas = common.BytesToAddress(r.Callback).Hex(), r.CallbackGas
	}
	if len(r.Prompt) > 0 {
		text := string(r.Prompt)
		v.Prompt = &text
	}
	if len(r.PromptDigest) > 0 {
		v.PromptDigest = hexutil.Encode(r.PromptDigest)
	}
	if len(r.Receipt) > 0 {
		v.Receipt = hexutil.Encode(r.Receipt)
	}
	if key, err := work.KeyFromBytes(r.Worker); err == nil {
		v.Worker = key.String()
	}
	if v.Answered != 0 && r.Status != requeststypes.Status_STATUS_REFUTED {
		v.AnswerHex = hexutil.Encode(r.Answer)
		if isPage {
			if v.Page, err = showPage(r.Answer); err != nil {
				return nil, fmt.Errorf("read the answer to request %d: %w", id, err)
			}
		} else if !r.Digested && utf8.Valid(r.Answer) {
			text := string(r.Answer)
			v.Answer = &text
		}
	}
	return v, nil
}

func policyName(p uint32) string {
	switch p {
	case requeststypes.Safe:
		return "safe"
	case requeststypes.Optimistic:
		return "optimistic"
	}
	return fmt.Sprintf("%d agree", p)
}

func (v *shownRequest) print(w io.Writer) error {
	amount := func(n math.Int) string { return chain.FormatAmount(n) }
	rows := [][]string{{"request", fmt.Sprintf("%d: %s", v.ID, v.Status)}, {"policy", v.Policy}}
	asked := "prompt"
	if v.Form != "" {
		asked = "address"
		rows = append(rows, []string{"page", v.Form})
	} else {
		rows = append(rows, []string{"model", v.Model})
	}
	rows = append(rows, []string{"payer", v.Payer})
	if v.Callback != "" {
		how := fmt.Sprintf("%s with %d gas, called %d times", v.Callback, v.CallbackGas, v.Calls)
		if v.CallFailed {
			how += "; the last call failed"
		}
		rows = append(rows, []string{"callback", how})
	}
	if v.Prompt != nil {
		rows = append(rows, []string{asked, strconv.Quote(*v.Prompt)})
	}
	switch {
	case v.Page != nil:
		rows = append(rows, v.Page.rows()...)
	case v.Answer != nil:
		rows = append(rows, []string{"answer", strconv.Quote(*v.Answer)})
	case v.Digested:
		rows = append(rows, []string{"answer", "too long for the ledger; its SHA-256 is " + v.AnswerHex})
	case v.AnswerHex != "":
		rows = append(rows, []string{"answer", v.AnswerHex})
	}
	if v.Label != "" {
		rows = append(rows, []string{"checked", v.Label})
	}
	if v.Worker != "" {
		rows = append(rows, []string{"receipt", fmt.Sprintf("%s by worker %s, epoch %d", v.Receipt, v.Worker, v.Epoch)})
	}
	heights := fmt.Sprintf("asked in block %d", v.Opened)
	if v.Answered != 0 {
		heights += fmt.Sprintf(", answered in %d", v.Answered)
	}
	if v.Ended != 0 {
		heights += fmt.Sprintf(", over in %d", v.Ended)
	}
	return table(w, append(rows,
		[]string{"job", fmt.Sprintf("%d at %s: %s", v.Job, v.Gateway, v.JobStatus)}, []string{"blocks", heights},
		[]string{"fee", amount(v.Fee)}, []string{"  escrow", fmt.Sprintf("%s, of which %s came back", amount(v.Escrow), amount(v.Refunded))},
		[]string{"  delivery", amount(v.Delivered)}, []string{"  callback's gas", amount(v.GasPaid)}, []string{"  bytes, burned", amount(v.Burned)},
		[]string{"  returned", amount(v.Returned)}, []string{"  held", amount(v.Held)}))
}
