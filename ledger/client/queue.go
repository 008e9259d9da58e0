package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cosmos/gogoproto/proto"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/txpool"

	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
)

const (
	// maxTogether, maxTogetherBytes and maxTogetherGas bound what one transaction takes along of
	// several callers: it leaves room for others in its block.
	maxTogether, maxTogetherBytes, maxTogetherGas = 256, 256 << 10, 8_000_000
	// maxCalls is how many calls of contracts are under way at once.
	maxCalls = 16
	// tries is how often an errand is signed anew after its number was taken or its gas ran out.
	tries = 8
)

// errReserved says that a transaction of the key's other kind waits for a block, or has just
// come into one: messages and calls of contracts do not wait side by side.
var errReserved = errors.New("another transaction of this key waits for a block")

// errTooMuch says that a transaction of several callers takes more gas than it should.
var errTooMuch = errors.New("too much for one transaction")

// account is a key's state here. Callers' errands wait in a queue, and one round of them is
// under way at a time, so that the key's number is always known: the messages that have come
// together go into one transaction, calls of contracts into one each with numbers in a row.
// A block is the time that a round takes, so a key that many use is not held to one errand a
// block.
type account struct {
	mu      sync.Mutex
	waiting []*errand
	busy    bool // somebody works the queue off

	name string
	addr sdk.AccAddress

	// Of whoever works the queue off.
	number   uint64
	sequence uint64
	known    bool // number and sequence are those of the ledger
}

// errand is what one caller wants to have in a block: messages, or the call of a contract.
type errand struct {
	ctx      context.Context
	msgs     []sdk.Msg
	call     *contractCall
	bytes    int // of the messages
	tried    int
	patience time.Time // until which the other kind's transactions are waited for

	done chan struct{} // closed when the rest says how it went
	res  TxResult
	err  error
}

func (e *errand) end(res TxResult, err error) {
	e.res, e.err = res, err
	close(e.done)
}

// run queues an errand and waits for its end, or for its context's. An errand that is under
// way by then may still take effect.
func (c *Client) run(a *account, e *errand) (TxResult, error) {
	e.done, e.patience = make(chan struct{}), time.Now().Add(confirmWait)
	for _, m := range e.msgs {
		e.bytes += proto.Size(m)
	}
	a.mu.Lock()
	a.waiting = append(a.waiting, e)
	if !a.busy {
		a.busy = true
		go c.workOff(a)
	}
	a.mu.Unlock()
	select {
	case <-e.done:
		return e.res, e.err
	case <-e.ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.waiting, e); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		return TxResult{}, e.ctx.Err()
	}
	return TxResult{}, fmt.Errorf("%w: %w", ErrUnconfirmed, e.ctx.Err())
}

// workOff takes rounds of errands until none waits.
func (c *Client) workOff(a *account) {
	for {
		a.mu.Lock()
		round := a.next()
		a.busy = len(round) > 0
		a.mu.Unlock()
		switch {
		case len(round) == 0:
			return
		case round[0].call != nil:
			again := c.callAll(a, round)
			a.mu.Lock()
			a.waiting = append(again, a.waiting...)
			a.mu.Unlock()
		default:
			c.sendAll(a, round)
		}
	}
}

// next takes the errands of a round off the queue: the first, and what else goes with it.
func (a *account) next() (round []*errand) {
	rest := a.waiting[:0:0]
	bytes := 0
	for _, e := range a.waiting {
		if len(round) == 0 || goesAlong(e, round, bytes) {
			round, bytes = append(round, e), bytes+e.bytes
		} else {
			rest = append(rest, e)
		}
	}
	a.waiting = rest
	return round
}

func goesAlong(e *errand, round []*errand, bytes int) bool {
	if round[0].call != nil {
		return e.call != nil && len(round) < maxCalls
	}
	return e.call == nil && len(round) < maxTogether && bytes+e.bytes <= maxTogetherBytes
}

// sendAll sends the messages of all errands in one transaction. Where the ledger refuses it,
// whose fault that is shows by sending halves of them.
func (c *Client) sendAll(a *account, round []*errand) {
	var msgs []sdk.Msg
	for _, e := range round {
		msgs = append(msgs, e.msgs...)
	}
	most := uint64(math.MaxUint64)
	if len(round) > 1 {
		most = maxTogetherGas
	}
	res, err := c.sendOne(a, msgs, most)
	var refused *Error
	if len(round) > 1 && (errors.As(err, &refused) || errors.Is(err, errTooMuch)) {
		half := len(round) / 2
		c.sendAll(a, round[:half])
		c.sendAll(a, round[half:])
		return
	}
	first := 0
	for _, e := range round {
		own := res
		if err == nil {
			own.responses = res.responses[first : first+len(e.msgs)]
			first += len(e.msgs)
			e.end(own, nil)
			continue
		}
		e.end(own, fmt.Errorf("send %s as %s: %w", kinds(e.msgs), a.name, err))
	}
}

// sendOne sends a transaction, as often as there is hope.
func (c *Client) sendOne(a *account, msgs []sdk.Msg, most uint64) (TxResult, error) {
	ctx, cancel := context.WithTimeout(c.ctx, roundTime)
	defer cancel()
	more, besides, patience := uint64(1), uint64(0), time.Now().Add(confirmWait)
	for tried := 1; ; {
		res, err := c.send(ctx, a, msgs, more, most, besides)
		if err == nil {
			if got := len(res.responses); got != len(msgs) {
				return res, fmt.Errorf("transaction %s has %d responses to %d messages", res.Hash, got, len(msgs))
			}
			return res, nil
		}
		a.known = false // whatever happened, ask before the next
		switch {
		case errors.Is(err, errReserved) && time.Now().Before(patience) && sleep(ctx, poll):
			besides++
			continue
		case tried == tries:
			return res, err
		case wrongNumber(err) && sleep(ctx, poll):
			// Somebody else used the key, or its last transaction came after all.
		case res.Hash != "" && errors.Is(err, sdkerrors.ErrOutOfGas):
			more *= 2 // what it met in its block was more than what it was tried on
		default:
			return res, err
		}
		tried, besides = tried+1, besides+1 // a node does not look again at the same transaction
	}
}

// wrongNumber reports whether a transaction was refused for its place among its signer's.
// The EVM's word for that is another than the accounts'.
func wrongNumber(err error) bool {
	if errors.Is(err, sdkerrors.ErrWrongSequence) || errors.Is(err, sdkerrors.ErrInvalidSequence) {
		return true
	}
	var refused *Error // by the EVM's pool, whose errors have no codes
	return errors.As(err, &refused) && slices.ContainsFunc([]error{core.ErrNonceTooLow, core.ErrNonceTooHigh, txpool.ErrReplaceUnderpriced},
		func(e error) bool { return strings.Contains(refused.Log, e.Error()) })
}

// callAll has all errands' calls made, by transactions with numbers in a row, and returns
// those to be made again.
func (c *Client) callAll(a *account, round []*errand) (again []*errand) {
	ctx, cancel := context.WithTimeout(c.ctx, roundTime)
	defer cancel()
	type sent struct {
		e   *errand
		res TxResult
	}
	var out []sent
	fail := func(e *errand, res TxResult, err error) {
		hope := errors.Is(err, errReserved) && time.Now().Before(e.patience)
		if !hope && wrongNumber(err) {
			e.tried++
			hope = e.tried < tries
		}
		if hope && sleep(ctx, poll) {
			e.call.gas++ // a node does not look again at the same transaction
			again = append(again, e)
			return
		}
		e.end(res, fmt.Errorf("call the contract %s as %s: %w", e.call.to, a.name, err))
	}
	price, err := c.gasPrice(ctx)
	if err != nil {
		for _, e := range round {
			fail(e, TxResult{}, err)
		}
		return again
	}
	for i, e := range round {
		res, err := e.call.pass(ctx, a, price)
		if err != nil {
			// Those after it would come with numbers that are not theirs yet.
			a.known = false
			fail(e, res, err)
			again = append(again, round[i+1:]...)
			break
		}
		out = append(out, sent{e, res})
	}
	for _, s := range out {
		res, err := s.e.call.outcome(ctx, s.res)
		if err == nil {
			s.e.end(res, nil)
			continue
		}
		if !errors.Is(err, ErrReverted) {
			a.known = false
		}
		fail(s.e, res, err)
	}
	return again
}
