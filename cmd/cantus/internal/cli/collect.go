package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/internal/progress"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	"github.com/cantus-network/cantus/work"
)

// crawlResult is what a crawl ends with.
type crawlResult struct {
	Job     uint64         `json:"job"`
	Out     string         `json:"out"`
	CID     string         `json:"cid"`
	Label   string         `json:"label"`
	Pages   uint64         `json:"pages"`
	Bytes   uint64         `json:"bytes"`
	Counts  dataset.Counts `json:"counts"`
	Rate    float64        `json:"pages_per_second"`  // from the first request to the last
	Crawled float64        `json:"crawl_seconds"`     // the same span
	Seconds float64        `json:"seconds"`           // from order, or resumption, to dataset
	Figures string         `json:"figures,omitempty"` // of the crawl, where it found no page
	Account market.Account `json:"account"`
}

// source is a gateway as the dataset reads it.
type source struct {
	gw  *api.Client
	job work.JobID
}

func (s source) Receipts(ctx context.Context, f func(dataset.Receipt) error) error {
	return s.gw.Receipts(ctx, s.job, api.Cursor{}, func(r api.Receipt) error {
		return f(dataset.Receipt{Epoch: r.Epoch, Index: r.Index, Signed: r.Receipt, Task: r.Task})
	})
}

func (s source) Blob(ctx context.Context, d artifact.Digest, max int64) ([]byte, error) {
	return s.gw.Artifact(ctx, d, max)
}

// shownPlants asks the gateway which receipts it had planted. The dataset holds the answer
// against the commitments on the ledger.
func shownPlants(ctx context.Context, gw *api.Client, chain string, epochs []work.Epoch) ([]work.Plants, error) {
	var all []work.Plants
	for _, e := range epochs {
		if !e.PlantsShown {
			continue
		}
		p, err := plantsOf(ctx, gw, e)
		if err != nil {
			return nil, err
		}
		plants, err := p.Of(chain, e.Job, e.Number)
		if err != nil {
			return nil, err
		}
		all = append(all, plants)
	}
	return all, nil
}

// plantsOf asks until the gateway has read on the ledger, as the caller has, that its plants
// were shown: until then it hands out neither them nor the epoch's receipts.
func plantsOf(ctx context.Context, gw *api.Client, e work.Epoch) (api.Plants, error) {
	for began := time.Now(); ; {
		p, err := gw.Plants(ctx, e.Job, e.Number)
		if err != nil || p.Shown {
			return p, err
		}
		if time.Since(began) > lostTime {
			return p, fmt.Errorf("the ledger was shown the plants of epoch %d of job %d, and the gateway does not hand them out: it does not follow the ledger, so try again later", e.Number, e.Job)
		}
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// collect writes the dataset of a job that is final and registers it.
func (j *crawlJob) collect(ctx context.Context, gw *api.Client, rec home.Job) (crawlResult, error) {
	id := work.JobID(rec.ID)
	r := crawlResult{Job: rec.ID, Out: j.out}
	job, err := j.session.Job(ctx, id)
	if err != nil {
		return r, err
	}
	if job.Status == work.JobFaulted {
		return r, fmt.Errorf("job %d: its gateway was at fault, so what was not settled is void and refunded: order it again from another gateway", id)
	}
	if job.Settled == 0 {
		why := "the gateway delivered nothing"
		if p, err := gw.Job(ctx, id); err == nil && p.Reason != "" {
			why = p.Reason
		}
		return r, fmt.Errorf("job %d ended without a result: %s; the escrow was refunded", id, why)
	}
	epochs, err := j.session.Epochs(ctx, id)
	if err != nil {
		return r, err
	}
	buyer, err := j.session.account(rec.Account)
	if err != nil {
		return r, err
	}
	plants, err := shownPlants(ctx, gw, j.session.net.ChainID, epochs[:job.Settled])
	if err != nil {
		return r, err
	}
	j.show.Step("settled; writing the dataset", map[string]any{"event": "settled", "job": id})
	w, err := dataset.Write(ctx, j.out, source{gw, id}, dataset.Meta{
		Chain: j.session.net.ChainID, Job: job, Spec: rec.Spec, Epochs: epochs[:job.Settled], Plants: plants, License: rec.License,
		Tool: "cantus/" + j.g.version, Signer: market.NewSigner(j.session.ring, buyer),
	}, func(p dataset.Progress) {
		j.show.Update(fmt.Sprintf("writing %s: %d of %d", p.Stage, p.Done, p.Total), map[string]any{"event": "writing", "stage": p.Stage, "done": p.Done, "total": p.Total})
	})
	j.show.Clear()
	if err != nil {
		return r, err
	}
	if err := j.register(ctx, buyer.Address.String(), rec, w); err != nil {
		return r, err
	}
	if err := j.awaitClaims(ctx, id); err != nil {
		return r, err
	}
	if r.Account, err = j.session.AccountOf(ctx, id); err != nil {
		return r, err
	}
	r.CID, r.Label, r.Counts = w.CID, string(w.Label), w.Counts
	r.Pages, r.Bytes = w.Counts.Pages, w.Counts.Bytes
	_, params, err := readIndex(j.out)
	if err != nil {
		return r, err
	}
	if span := params.To - params.From; span > 0 {
		r.Crawled = float64(span) / 1000
		r.Rate = float64(r.Pages) / r.Crawled
	}
	r.Seconds = time.Since(j.started).Seconds()
	if r.Pages == 0 {
		p, err := gw.Job(ctx, id)
		if err != nil {
			return r, err
		}
		r.Figures = figures(p.Counts)
	}
	return r, nil
}

// figures are a kind's own counts for people, those that aren't zero.
func figures(counts map[string]uint64) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[name]; n > 0 {
			out = append(out, fmt.Sprintf("%s %d", name, n))
		}
	}
	return strings.Join(out, ", ")
}

// register puts the dataset on the ledger, once.
func (j *crawlJob) register(ctx context.Context, owner string, rec home.Job, w dataset.Written) error {
	view := market.DatasetView{View: j.session.View, ChainID: j.session.net.ChainID}
	statement := artifact.Sum(w.Envelope)
	known, err := view.Registration(ctx, w.CID)
	if err == nil {
		if known.StatementDigest != statement {
			return fmt.Errorf("%s is registered already, with another statement (%s)", w.CID, known.StatementDigest)
		}
		return nil
	}
	if !errors.Is(err, dataset.ErrUnregistered) {
		return err
	}
	_, _, err = j.session.send(ctx, rec.Account, &lineagetypes.MsgRegister{
		Owner: owner, Cid: w.CID, Type: "dataset", StatementDigest: statement[:], Job: rec.ID, License: rec.License,
	})
	if err != nil {
		return fmt.Errorf("register the dataset %s: %w", w.CID, err)
	}
	return nil
}

// claimTime is how long to wait for the gateway to send the workers' claims, so that the
// summary can say what each earned. They may come later, and from anybody.
const claimTime = 10 * time.Second

func (j *crawlJob) awaitClaims(ctx context.Context, id work.JobID) error {
	for end := time.Now().Add(claimTime); time.Now().Before(end); {
		r, err := j.session.JobRecord(ctx, id)
		if err != nil {
			return err
		}
		if r.UnitsClaimed == r.UnitsSettled {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

func (r crawlResult) print(w io.Writer) error {
	rows := [][]string{
		{"dataset", r.Out},
		{"cid", r.CID + " (" + r.Label + ")"},
		{"pages", fmt.Sprintf("%d, %s, %.1f pages/s", r.Pages, progress.Bytes(r.Bytes), r.Rate)},
		{"also", fmt.Sprintf("%d redirects, %d refusals, %d errors, %d duplicates, %d excluded", r.Counts.Redirects, r.Counts.Refusals, r.Counts.Errors, r.Counts.Duplicates, r.Counts.Excluded)},
	}
	if err := table(w, rows); err != nil {
		return err
	}
	return printAccount(w, r.Account)
}

// progressLine is a job's progress for people. Challenge is how many blocks the network
// lets pass before an epoch settles.
func progressLine(p api.Job, challenge int64) string {
	line := fmt.Sprintf("job %d %s: %d pages, %s, %d queued, %d workers, spent %s",
		p.ID, p.Phase, p.Counts["pages"], progress.Bytes(p.Counts["bytes"]), p.Queued, p.WorkerCount, notes(p.Spent))
	if p.Phase == "running" {
		line += fmt.Sprintf(", %.0f/s", p.Rate)
	}
	if p.ETASeconds > 0 {
		line += ", about " + (time.Duration(p.ETASeconds) * time.Second).String() + " left"
	}
	if n := len(p.Epochs); n > 0 && p.Phase == "settling" {
		e := p.Epochs[n-1]
		if e.Status == "" {
			line += fmt.Sprintf("; epoch %d is being committed", e.Number)
		} else {
			line += fmt.Sprintf("; epoch %d is %s, final from block %d on, now %d", e.Number, e.Status, e.CommitHeight+challenge, p.Height)
		}
	}
	if p.Trouble != "" {
		line += "; " + p.Trouble
	}
	return line
}
