package witness

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

const (
	// gasMargin and priceMargin are added, in percent, to what a simulation took and to the
	// price of gas: state may have grown, and the price rises by an eighth with a full block.
	gasMargin, gasExtra = 30, 20_000
	priceMargin         = 25
	maxGas              = 20_000_000
	// lifetime is how many blocks after it was signed a transaction is void: what was not
	// seen in a block by then never comes.
	lifetime = 100
	resends  = 3
	// wrongSequence is the SDK's code for a number that was used or skipped.
	wrongSequence = 32
	// outOfGas is its code, among those of its codespace, for a limit that was too low.
	sdkSpace, outOfGas = "sdk", 11
)

// ErrUnconfirmed means that a transaction was passed on and not seen in a block: it may
// still come. Who sends again must look first.
var ErrUnconfirmed = errors.New("the transaction is not in a block yet")

// ErrFee means that a transaction would cost more than Options.MaxFee.
var ErrFee = errors.New("the fee is above the limit")

// Account is what the ledger sends as, nil for one that only reads.
func (l *Ledger) Account() *Account { return l.opts.Account }

// Sign builds and signs a transaction. It is what Send does last; tests compare it with
// the ledger's own codec.
func (a *Account) Sign(chain string, number, sequence, gas uint64, fee, granter string, timeoutHeight int64, msgs ...Msg) []byte {
	b := body(msgs, timeoutHeight)
	auth := authInfo(a.public, sequence, payment{fee, gas, granter})
	return rawTx(b, auth, a.sign(signDoc(b, auth, chain, number)))
}

// Send puts messages into one transaction, whose fee granter pays, and waits until it is
// in a block. A *Refused means that the ledger said no.
func (l *Ledger) Send(ctx context.Context, granter string, msgs ...Msg) error {
	if l.opts.Account == nil {
		return fmt.Errorf("send to the ledger: %w", ErrNoAccount)
	}
	l.sending.Lock()
	defer l.sending.Unlock()
	more := uint64(1)
	for attempt := 0; ; attempt++ {
		err := l.send(ctx, granter, msgs, more)
		if err == nil {
			return nil
		}
		if e := new(Refused); errors.As(err, &e) && attempt < resends {
			if sequenceError(e) {
				continue
			}
			if e.Space == sdkSpace && e.Code == outOfGas {
				more *= 2 // what it met in its block was more than what it was tried on
				continue
			}
		}
		return fmt.Errorf("send %s: %w", names(msgs), err)
	}
}

// sequenceError reports whether another transaction of the account came first. A
// simulation's refusal has gRPC's code, so that only its text tells.
func sequenceError(e *Refused) bool {
	return e.Code == wrongSequence || strings.Contains(e.Text, "account sequence mismatch")
}

func names(msgs []Msg) string {
	var all []string
	for _, m := range msgs {
		all = append(all, m.Type[strings.LastIndexByte(m.Type, '.')+1:])
	}
	return strings.Join(all, ", ")
}

// send is one attempt, with so many times the gas that a trial took.
func (l *Ledger) send(ctx context.Context, granter string, msgs []Msg, more uint64) error {
	a := l.opts.Account
	head, err := l.Head(ctx)
	if err != nil {
		return err
	}
	number, sequence, err := l.numbers(ctx, a.address)
	if err != nil {
		return err
	}
	price, err := l.price(ctx)
	if err != nil {
		return err
	}
	timeout := head.Height + lifetime
	gas, err := l.simulate(ctx, a.Sign(head.Chain, number, sequence, 0, "", granter, timeout, msgs...))
	if err != nil {
		return err
	}
	gas = more * (gas + gas*gasMargin/100 + gasExtra)
	fee := cost(price, gas)
	if fee.Cmp(l.opts.MaxFee) > 0 {
		return fmt.Errorf("%w: %s anote for %d gas, at most %s", ErrFee, fee, gas, l.opts.MaxFee)
	}
	raw := a.Sign(head.Chain, number, sequence, gas, fee.String(), granter, timeout, msgs...)
	if err := l.broadcast(ctx, raw); err != nil {
		return err
	}
	return l.confirm(ctx, fmt.Sprintf("%X", sha256.Sum256(raw)))
}

// cost is the fee for gas at a price, with its margin, rounded up.
func cost(price *big.Rat, gas uint64) *big.Int {
	r := new(big.Rat).Mul(price, new(big.Rat).SetInt(new(big.Int).SetUint64(gas)))
	r.Mul(r, big.NewRat(100+priceMargin, 100))
	fee, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		fee.Add(fee, big.NewInt(1))
	}
	return fee
}

// numbers asks for an account's number and sequence.
func (l *Ledger) numbers(ctx context.Context, address string) (number, sequence uint64, err error) {
	var r struct {
		Account struct {
			Address  string  `json:"address"`
			Number   natural `json:"account_number"`
			Sequence natural `json:"sequence"`
		} `json:"account"`
	}
	err = l.get(ctx, &r, "cosmos/auth/v1beta1/accounts", address)
	if errors.Is(err, ErrNotFound) {
		return 0, 0, fmt.Errorf("account %s: %w: its operator has granted it nothing yet (cantus worker enroll)", address, err)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask for account %s: %w", address, err)
	}
	if r.Account.Address != address {
		return 0, 0, fmt.Errorf("%w: asked for account %s, got %.80q", ErrAnswer, address, r.Account.Address)
	}
	return uint64(r.Account.Number), uint64(r.Account.Sequence), nil
}

// simulate tries a transaction on the latest state and returns the gas that it took.
func (l *Ledger) simulate(ctx context.Context, raw []byte) (uint64, error) {
	var r struct {
		Gas struct {
			Used natural `json:"gas_used"`
		} `json:"gas_info"`
	}
	if err := l.post(ctx, map[string]any{"tx_bytes": raw}, &r, "cosmos/tx/v1beta1/simulate"); err != nil {
		return 0, fmt.Errorf("try the transaction: %w", err)
	}
	if r.Gas.Used == 0 || r.Gas.Used > maxGas {
		return 0, fmt.Errorf("%w: the transaction would take %d gas", ErrAnswer, r.Gas.Used)
	}
	return uint64(r.Gas.Used), nil
}

type txResponse struct {
	Space string  `json:"codespace"`
	Code  natural `json:"code"`
	Log   string  `json:"raw_log"`
}

func (r txResponse) err() error {
	if r.Code == 0 {
		return nil
	}
	return &Refused{Space: clean(r.Space), Code: uint32(r.Code), Text: clean(r.Log)}
}

func (l *Ledger) broadcast(ctx context.Context, raw []byte) error {
	var r struct {
		Tx txResponse `json:"tx_response"`
	}
	req := map[string]any{"tx_bytes": raw, "mode": "BROADCAST_MODE_SYNC"}
	if err := l.post(ctx, req, &r, "cosmos/tx/v1beta1/txs"); err != nil {
		return fmt.Errorf("pass the transaction on: %w", err)
	}
	return r.Tx.err()
}

// confirm waits until a transaction is in a block.
func (l *Ledger) confirm(ctx context.Context, hash string) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.ConfirmTime)
	defer cancel()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		var r struct {
			Tx txResponse `json:"tx_response"`
		}
		err := l.get(ctx, &r, "cosmos/tx/v1beta1/txs", hash)
		switch {
		case err == nil:
			return r.Tx.err()
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %s: %w", ErrUnconfirmed, hash, context.Cause(ctx))
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnreachable):
			return fmt.Errorf("%w: %s: %w", ErrUnconfirmed, hash, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", ErrUnconfirmed, hash, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}
