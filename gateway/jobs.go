package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

func (g *Gateway) getInfo(http.ResponseWriter, *http.Request) (any, error) {
	info := api.Info{
		Chain: g.cfg.Chain, Gateway: g.cfg.Address, GatewayKey: g.cfg.Key.Public(), Cell: g.cfg.Cell, Plane: g.plane.Load().URLs(),
		Artifacts: g.url, FeeBps: g.cfg.FeeBps, Version: g.cfg.Version,
	}
	for _, k := range g.cfg.Kinds {
		info.Kinds = append(info.Kinds, k.Name())
	}
	return info, nil
}

// postSpec stores what a job is going to name by its digest.
func (g *Gateway) postSpec(w http.ResponseWriter, r *http.Request) (any, error) {
	name := work.Name(r.URL.Query().Get("kind"))
	if err := name.Check(); err != nil {
		return nil, invalid("%v", err)
	}
	var kind work.Kind
	for _, k := range g.cfg.Kinds {
		if k.Name() == name {
			kind = k
		}
	}
	if kind == nil {
		return nil, failf(http.StatusNotFound, "unknown_kind", "this gateway does not sell %s: /v1/info lists what it sells", name)
	}
	if g.Draining() {
		return nil, failf(http.StatusServiceUnavailable, "draining", "the gateway is about to stop: go to another, or try again later")
	}
	spec, err := body(w, r, work.MaxSpec)
	if err != nil {
		return nil, err
	}
	if err := g.clients.fromAddress(r, classSpecBytes, int64(len(spec))); err != nil {
		return nil, err
	}
	needs, err := kind.Check(spec)
	if err != nil {
		return nil, invalid("%v", err)
	}
	d, err := g.artifacts.Put(r.Context(), spec)
	if err != nil {
		return nil, fmt.Errorf("store a spec: %w", err)
	}
	return api.SpecReply{Digest: d, UnitsPerTask: needs.UnitsPerTask, TaskSeconds: needs.TaskTime.Seconds()}, nil
}

// getJobs lists jobs, the newest first: at most api.MaxJobs below the one named by before.
func (g *Gateway) getJobs(_ http.ResponseWriter, r *http.Request) (any, error) {
	before, err := number("before", r.URL.Query().Get("before"))
	if err != nil {
		return nil, err
	}
	list := api.JobList{Jobs: []api.Job{}}
	for _, p := range g.scheduler.Jobs() {
		if before != 0 && uint64(p.Job.ID) >= before {
			continue
		}
		if len(list.Jobs) == api.MaxJobs {
			list.More = true
			break
		}
		list.Jobs = append(list.Jobs, jobView(p))
	}
	return list, nil
}

func jobID(r *http.Request) (work.JobID, error) {
	n, err := number("job", r.PathValue("id"))
	if err == nil && n == 0 {
		err = invalid("job 0: they count from 1")
	}
	return work.JobID(n), err
}

func (g *Gateway) getJob(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	if err := g.guard.heldJob(id); err != nil {
		return nil, err
	}
	p, err := g.scheduler.Progress(id)
	if err != nil {
		return nil, err
	}
	return jobView(p), nil
}

// The events of a job come at most this often, and at least that often to show that the
// connection lives.
const (
	eventEvery = 250 * time.Millisecond
	eventAlive = 15 * time.Second
)

// getEvents sends a job's progress as server-sent events until the job is over.
func (g *Gateway) getEvents(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	changes, cancel, err := g.scheduler.Subscribe(id)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if most := int64(g.clients.limits.Streams); g.streams.Add(1) > most && most >= 0 {
		g.streams.Add(-1)
		return nil, g.clients.refuse(classStream, 5*time.Second, "%d event streams are open: ask for the job itself instead", most)
	}
	defer g.streams.Add(-1)
	ctl := http.NewResponseController(w)
	// The server's limit is for reading a request; this one was read.
	if err := ctl.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for {
		p, err := g.scheduler.Progress(id)
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(jobView(p))
		if err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintf(w, "event: job\ndata: %s\n\n", b); err != nil || ctl.Flush() != nil || !p.EndedAt.IsZero() {
			return nil, nil
		}
		select {
		case <-r.Context().Done():
			return nil, nil
		case <-g.closing:
			return nil, nil
		case <-time.After(eventEvery):
		}
		select {
		case <-r.Context().Done():
			return nil, nil
		case <-g.closing:
			return nil, nil
		case <-changes:
		case <-time.After(eventAlive):
		}
	}
}

// pageBytes bounds a page of receipts.
const pageBytes = 16 << 20

func (g *Gateway) getReceipts(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	epoch, err := number("epoch", q.Get("epoch"))
	if err != nil {
		return nil, err
	}
	index, err := number("index", q.Get("index"))
	if err != nil {
		return nil, err
	}
	limit, err := number("limit", q.Get("limit"))
	if err != nil {
		return nil, err
	}
	if limit == 0 || limit > api.MaxReceipts {
		limit = api.MaxReceipts
	}
	page := api.ReceiptPage{Receipts: []api.Receipt{}, End: true}
	size := 0
	next, more, err := g.scheduler.Receipts(r.Context(), id, scheduler.Cursor{Epoch: epoch, Index: index}, func(s scheduler.SealedReceipt) bool {
		if uint64(len(page.Receipts)) == limit || size > pageBytes {
			page.End = false
			return false
		}
		// The slices are the scheduler's during the call only.
		page.Receipts = append(page.Receipts, api.Receipt{
			Epoch: s.Epoch, Index: s.Index, Receipt: append([]byte(nil), s.Receipt...), Task: append([]byte(nil), s.Body...),
		})
		size += len(s.Receipt) + len(s.Body)
		return true
	})
	if err != nil {
		return nil, err
	}
	page.Next, page.More = api.Cursor{Epoch: next.Epoch, Index: next.Index}, more
	return page, nil
}

// payFor is how long what a pay tree says may be used again: a sealed epoch's never
// changes, the newest settled one soon is another.
const payFor, newestPayFor = time.Hour, 2 * time.Second

func cachePay(w http.ResponseWriter, epoch uint64) {
	age := payFor
	if epoch == 0 {
		age = newestPayFor
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%.0f", age.Seconds()))
}

// building lets one caller at a time make the trees that the scheduler does not have at
// hand: they cost time and memory by the number of workers.
func (g *Gateway) building(ctx context.Context) (done func(), err error) {
	select {
	case g.trees <- struct{}{}:
		return func() { <-g.trees }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *Gateway) getPlants(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	epoch, err := number("epoch", r.PathValue("n"))
	if err != nil {
		return nil, err
	}
	p, err := g.scheduler.Plants(id, epoch)
	if err != nil {
		return nil, err
	}
	return api.Plants{Shown: p.Epoch != 0, Salt: hex.EncodeToString(p.Salt[:]), Indices: append([]uint64{}, p.Indices...)}, nil
}

func (g *Gateway) getPayList(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	epoch, err := number("epoch", r.PathValue("n"))
	if err != nil {
		return nil, err
	}
	var from work.PublicKey
	if after := r.URL.Query().Get("from"); after != "" {
		if from, err = work.ParseKey(after); err != nil {
			return nil, invalid("from: %v", err)
		}
	}
	done, err := g.building(r.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	list := api.PayList{Epoch: epoch, Workers: []api.PayEntry{}}
	root, err := g.scheduler.PayList(id, epoch, from, func(w work.PublicKey, units uint64) bool {
		if len(list.Workers) == api.MaxPay {
			list.More = true
			return false
		}
		list.Workers = append(list.Workers, api.PayEntry{Worker: w, Units: units})
		return true
	})
	if err != nil {
		return nil, err
	}
	list.PayRoot, list.Units = artifact.Digest(root.Hash), root.Sum
	cachePay(w, epoch)
	return list, nil
}

func (g *Gateway) getPay(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	epoch, err := number("epoch", r.PathValue("n"))
	if err != nil {
		return nil, err
	}
	worker, err := work.ParseKey(r.PathValue("worker"))
	if err != nil {
		return nil, invalid("%v", err)
	}
	done, err := g.building(r.Context())
	if err != nil {
		return nil, err
	}
	p, err := g.scheduler.PayOf(id, epoch, worker)
	done()
	if err != nil {
		return nil, err
	}
	out := api.Pay{
		Worker: p.Worker, Epoch: p.Epoch, Units: p.Units, Proof: api.PayProof{Index: p.Proof.Index, Siblings: []api.PayNode{}},
		PayRoot: artifact.Digest(p.Root.Hash), Leaves: p.Root.Leaves, Total: p.Root.Sum,
	}
	for _, s := range p.Proof.Siblings {
		out.Proof.Siblings = append(out.Proof.Siblings, api.PayNode{Hash: artifact.Digest(s.Hash), Sum: s.Sum})
	}
	cachePay(w, epoch)
	return out, nil
}

func jobView(p scheduler.Progress) api.Job {
	j := api.Job{
		ID: uint64(p.Job.ID), Kind: p.Job.Kind, Status: p.Job.Status, Phase: string(p.Phase), Reason: p.Reason,
		Trouble: p.Trouble, Height: p.Height, Queued: p.Queued, Out: p.Out, Ready: p.Ready, Done: p.Done, Failed: p.Failed,
		Counts: p.Counts, Units: p.Units, Receipts: p.Receipts, Spent: p.Spent.String(), Rate: p.Rate, ETASeconds: p.ETA.Seconds(),
		Buyer: p.Job.Buyer, Escrow: amount(p.Job.Escrow), Price: amount(p.Job.Price), SettledUnits: p.Job.UnitsSettled, SettledEpochs: p.Job.Settled,
		Paid: api.JobPaid{
			Workers: amount(p.Job.Workers), Gateway: amount(p.Job.GatewayFee), Auditors: amount(p.Job.Auditors),
			Royalties: amount(p.Job.Royalties), Burned: amount(p.Job.Burned), Refunded: amount(p.Job.Refunded),
		},
		Claimed: p.Claimed, Taken: p.TakenAt.UTC(),
		WorkerCount: p.WorkerCount, Workers: []api.JobWorker{}, EpochCount: p.EpochCount, Epochs: []api.JobEpoch{},
	}
	if !p.EndedAt.IsZero() {
		ended := p.EndedAt.UTC()
		j.Ended = &ended
	}
	for _, w := range p.Workers {
		j.Workers = append(j.Workers, api.JobWorker{Worker: w.Worker, Units: w.Units, Receipts: w.Receipts})
	}
	for _, e := range p.Epochs {
		j.Epochs = append(j.Epochs, api.JobEpoch{
			Number: e.Number, ReceiptsRoot: artifact.Digest(e.Receipts.Hash), Receipts: e.Receipts.Leaves, Units: e.Receipts.Sum,
			PayRoot: artifact.Digest(e.Pay.Hash), Status: e.Status, CommitHeight: e.CommitHeight, SettledHeight: e.SettledHeight,
			Drawn: e.Drawn, Upheld: e.Upheld, False: e.False, Undecided: e.Undecided, Unaudited: e.Unaudited, Label: e.Label,
		})
	}
	return j
}

// amount is anote in decimal, "0" for one that is not known.
func amount(n *big.Int) string {
	if n == nil {
		return "0"
	}
	return n.String()
}
