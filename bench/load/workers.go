package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// fleet is all simulated workers: each a client of the plane as a real worker has it, with
// a key of its own. They sign real receipts and do nothing else.
type fleet struct {
	url     string
	gateway work.PublicKey
	think   time.Duration
	result  artifact.Digest
	spec    []byte

	hands []*hand
	stop  chan struct{} // closed when nothing new is to be leased
	wg    sync.WaitGroup

	measuring atomic.Bool
	leases    histogram // requests for work that gave some, while measuring
	reports   histogram
	cycles    atomic.Uint64 // receipts acknowledged while measuring
	refused   atomic.Uint64
	hellos    atomic.Int64
	mu        sync.Mutex
	failures  map[string]int // requests that failed, by error
}

// hand is one worker.
type hand struct {
	f       *fleet
	key     work.PrivateKey
	client  *plane.Client
	records [][recordSize]byte
	voucher work.SignedVoucher
}

const dialers = 64 // workers that connect at the same time at the start

// connect connects n workers and says hello for each.
func (f *fleet) connect(ctx context.Context, n int) error {
	f.failures, f.stop = map[string]int{}, make(chan struct{})
	f.hands = make([]*hand, n)
	errs := make([]error, dialers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || errs[d] != nil {
					return
				}
				h := &hand{f: f, key: workerKey(i)}
				c, err := plane.Dial(ctx, f.url, h.key, plane.Options{Gateway: f.gateway, RequestTime: time.Minute})
				if err != nil {
					errs[d] = fmt.Errorf("worker %d: %w", i, err)
					return
				}
				h.client, f.hands[i] = c, h
				errs[d] = h.hello(ctx)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (h *hand) hello(ctx context.Context) error {
	_, err := h.client.Hello(ctx, plane.HelloRequest{Version: "load", Kinds: []work.Name{kindName}, Capacity: 1})
	if err == nil {
		h.f.hellos.Add(1)
	}
	return err
}

// begin lets all workers work until end.
func (f *fleet) begin(ctx context.Context) {
	for _, h := range f.hands {
		go h.attend(ctx)
		f.wg.Go(func() {
			// Not all of them ask in the same instant.
			if h.pause(ctx, rand.N(f.think+1)) {
				h.work(ctx)
			}
		})
	}
}

// end lets no more be leased and waits until everything that is out is reported.
func (f *fleet) end() {
	close(f.stop)
	f.wg.Wait()
}

func (f *fleet) close() {
	for _, h := range f.hands {
		if h != nil {
			h.client.Close()
		}
	}
}

func (f *fleet) stopping() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// pause waits unless the fleet stops. It reports whether to go on.
func (h *hand) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-h.f.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

func (h *hand) work(ctx context.Context) {
	for ctx.Err() == nil && !h.f.stopping() {
		reply, err := h.lease(ctx)
		if err != nil {
			h.await(ctx, err)
			continue
		}
		if len(reply.Bundles) == 0 {
			wait := time.NewTimer(time.Duration(max(reply.Wait, 50)) * time.Millisecond)
			select {
			case <-wait.C:
			case <-h.client.Nudges():
			case <-h.f.stop:
			case <-ctx.Done():
			}
			wait.Stop()
			continue
		}
		// A task takes as long as it takes, within half of the mean.
		h.pause(ctx, h.f.think/2+rand.N(h.f.think+1))
		h.report(ctx, reply.Bundles)
	}
}

func (h *hand) lease(ctx context.Context) (plane.LeaseReply, error) {
	measured, began := h.f.measuring.Load(), time.Now()
	reply, err := h.client.Lease(ctx, plane.LeaseRequest{Max: 1, Kinds: []work.Name{kindName}})
	if err == nil && measured && len(reply.Bundles) > 0 {
		h.f.leases.add(time.Since(began))
	}
	return reply, err
}

// report signs receipts and sends them until they are acknowledged.
func (h *hand) report(ctx context.Context, bundles []plane.Bundle) {
	var request plane.DoneRequest
	var records [][recordSize]byte
	now := time.Now().UnixMilli()
	for _, b := range bundles {
		for _, l := range b.Tasks {
			t := work.Task{Job: b.Job, Seq: l.Seq, Spec: h.f.spec, Body: l.Body}
			s, err := work.SignReceipt(h.key, work.Receipt{
				Chain: chainID, Job: b.Job, Seq: l.Seq, Attempt: l.Attempt, Task: t.Digest(), Result: h.f.result, Units: unitsOf(l.Seq), Started: now, Finished: now,
			})
			if err != nil {
				h.f.note(err)
				return
			}
			e, err := s.Encode()
			if err != nil {
				h.f.note(err)
				return
			}
			request.Receipts = append(request.Receipts, s)
			records = append(records, recordOf(l.Seq, e))
		}
	}
	for ctx.Err() == nil {
		measured, began := h.f.measuring.Load(), time.Now()
		reply, err := h.client.Done(ctx, request)
		if err != nil {
			h.await(ctx, err)
			continue
		}
		if measured {
			h.f.reports.add(time.Since(began))
			h.f.cycles.Add(uint64(len(records) - len(reply.Refused)))
		}
		for i, r := range request.Receipts {
			if !slices.ContainsFunc(reply.Refused, func(x plane.Refusal) bool { return x.Seq == r.Receipt.Seq }) {
				h.records = append(h.records, records[i])
			}
		}
		for _, r := range reply.Refused {
			h.f.refused.Add(1)
			h.f.note(errors.New("refused: " + r.Reason))
		}
		for _, v := range reply.Vouchers {
			if v.Voucher.Units >= h.voucher.Voucher.Units {
				h.voucher = v
			}
		}
		return
	}
}

// attend says hello after each reconnection, as a real worker does first of all.
func (h *hand) attend(ctx context.Context) {
	for {
		select {
		case <-h.client.Reconnects():
		case <-ctx.Done():
			return
		}
		for h.client.Connected() && ctx.Err() == nil {
			err := h.hello(ctx)
			if err == nil {
				break
			}
			h.await(ctx, err)
		}
	}
}

// await waits after a failed request, as long as the gateway says if it does.
func (h *hand) await(ctx context.Context, err error) {
	if ctx.Err() == nil {
		h.f.note(err)
		sleep(ctx, patience(err)/2+rand.N(patience(err)))
	}
}

func patience(err error) time.Duration {
	var told *plane.Error
	if errors.As(err, &told) && told.After() > 0 {
		return max(told.After(), time.Second)
	}
	return 2 * time.Second
}

func (f *fleet) note(err error) {
	what := err.Error()
	for _, known := range []error{plane.ErrDisconnected, plane.ErrBusy, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			what = known.Error()
		}
	}
	f.mu.Lock()
	f.failures[what]++
	f.mu.Unlock()
}

// write leaves what the workers hold for the gateway's process to compare.
func (f *fleet) write(path string) error {
	var vouchers []work.SignedVoucher
	for _, h := range f.hands {
		if h.voucher.Voucher.Units > 0 {
			vouchers = append(vouchers, h.voucher)
		}
	}
	return writePromises(path, vouchers, func(out func([]byte) error) error {
		for _, h := range f.hands {
			for _, r := range h.records {
				if err := out(r[:]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
