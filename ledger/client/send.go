package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cosmos/gogoproto/proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	"github.com/cosmos/cosmos-sdk/client/tx"
	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/evm/mempool/reserver"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"

	"github.com/cantus-network/cantus/ledger/chain"
)

var (
	// ErrUnreachable is wrapped when the node does not answer.
	ErrUnreachable = errors.New("the ledger cannot be reached")
	// ErrNotFound is wrapped when the ledger has no such thing.
	ErrNotFound = errors.New("not found on the ledger")
	// ErrUnconfirmed is wrapped when a transaction was accepted and then not seen in
	// a block: it may still come. Who sends again must look first.
	ErrUnconfirmed = errors.New("the transaction is not in a block yet")
)

const (
	// gasMargin is the part that is added to the gas of a simulation, in percent, and
	// gasExtra a constant: state may have grown by the time the transaction runs. The
	// fee market charges at least half of the limit, so more would cost.
	gasMargin, gasExtra = 30, 20_000
	// priceMargin is added to the price of gas, in percent: it rises by an eighth
	// with a full block.
	priceMargin = 25
	// confirmWait is how long a transaction may take into a block.
	confirmWait = 60 * time.Second
	// roundTime bounds all that one transaction takes, with what it may have to be sent again.
	roundTime = 4 * confirmWait
)

// Error is what the ledger said against a transaction.
type Error struct {
	Codespace string // the module
	Code      uint32
	Log       string
	Hash      string // empty when it never got as far as a block
	err       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("the ledger refused it: %s (%s %d)", e.Log, e.Codespace, e.Code)
}

// Unwrap is the error that the module registered under the code, so that errors.Is
// finds it.
func (e *Error) Unwrap() error { return e.err }

func newError(codespace string, code uint32, log, hash string) *Error {
	log, _, _ = strings.Cut(log, "\n")
	e := &Error{Codespace: codespace, Code: code, Log: log, Hash: hash, err: errorsmod.ABCIError(codespace, code, log)}
	if strings.Contains(log, reserver.ErrAlreadyReserved.Error()) { // which has no code of its own
		e.err = errReserved
	}
	return e
}

// TxResult is a transaction in a block.
type TxResult struct {
	Hash      string
	Height    int64
	GasWanted int64
	GasUsed   int64
	Fee       math.Int // what was offered, in the base denomination
	Events    []abci.Event
	responses []*anyResponse
}

type anyResponse struct {
	url   string
	value []byte
}

// Response reads the i-th message's response into m.
func (r TxResult) Response(i int, m proto.Message) error {
	if i < 0 || i >= len(r.responses) {
		return fmt.Errorf("transaction %s has %d responses, not one at %d", r.Hash, len(r.responses), i)
	}
	if want := "/" + proto.MessageName(m); r.responses[i].url != want {
		return fmt.Errorf("transaction %s: response %d is a %s, not a %s", r.Hash, i, r.responses[i].url, want)
	}
	return proto.Unmarshal(r.responses[i].value, m)
}

// Send has messages in one transaction, signed with the named key, and waits until it is in a
// block. All of the messages take effect, or none. Messages that several callers have for one
// key may go into the same transaction; then its gas and fee are those of all of them.
//
// An *Error means that the ledger said no, and nothing happened but perhaps the
// fee. ErrUnconfirmed means that nobody knows yet.
func (c *Client) Send(ctx context.Context, from string, msgs ...sdk.Msg) (TxResult, error) {
	if len(msgs) == 0 {
		return TxResult{}, errors.New("send a transaction: it has no messages")
	}
	a, err := c.account(from)
	if err != nil {
		return TxResult{}, err
	}
	return c.run(a, &errand{ctx: ctx, msgs: msgs})
}

func (c *Client) account(name string) (*account, error) {
	addr, err := c.Address(name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[name]
	if a == nil {
		a = &account{name: name, addr: addr}
		c.accounts[name] = a
	}
	return a, nil
}

// send is one attempt, with so many times the gas that a trial took, unless that is above the
// most, and a little besides.
func (c *Client) send(ctx context.Context, a *account, msgs []sdk.Msg, more, most, besides uint64) (TxResult, error) {
	if !a.known {
		if err := c.refresh(ctx, a); err != nil {
			return TxResult{}, err
		}
	}
	price, err := c.gasPrice(ctx)
	if err != nil {
		return TxResult{}, err
	}
	f := tx.Factory{}.
		WithTxConfig(c.enc.Tx).WithKeybase(c.ring).WithFromName(a.name).WithChainID(c.chainID).
		WithAccountNumber(a.number).WithSequence(a.sequence).
		WithSignMode(signing.SignMode_SIGN_MODE_DIRECT).
		WithSimulateAndExecute(true)
	sim, err := f.BuildSimTx(msgs...)
	if err != nil {
		return TxResult{}, fmt.Errorf("build the transaction: %w", err)
	}
	gas, err := c.simulate(ctx, sim)
	if err != nil {
		return TxResult{}, err
	}
	if gas > most {
		return TxResult{}, errTooMuch
	}
	gas = more*(gas+gas*gasMargin/100+gasExtra) + besides
	fee := price.MulInt(math.NewIntFromUint64(gas)).Ceil().TruncateInt()

	f = f.WithGas(gas).WithFees(chain.Coins(fee).String())
	builder, err := f.BuildUnsignedTx(msgs...)
	if err != nil {
		return TxResult{}, fmt.Errorf("build the transaction: %w", err)
	}
	if err := tx.Sign(ctx, f, a.name, builder, true); err != nil {
		return TxResult{}, fmt.Errorf("sign the transaction: %w", err)
	}
	raw, err := c.enc.Tx.TxEncoder()(builder.GetTx())
	if err != nil {
		return TxResult{}, fmt.Errorf("encode the transaction: %w", err)
	}
	resp, err := c.tx.BroadcastTx(ctx, &txtypes.BroadcastTxRequest{TxBytes: raw, Mode: txtypes.BroadcastMode_BROADCAST_MODE_SYNC})
	if err != nil {
		return TxResult{}, fmt.Errorf("pass the transaction on: %w", plain(err))
	}
	if r := resp.TxResponse; r.Code != 0 {
		return TxResult{}, newError(r.Codespace, r.Code, r.RawLog, "")
	}
	a.sequence++
	res, err := c.confirm(ctx, resp.TxResponse.TxHash)
	res.Fee = fee
	return res, err
}

// refresh asks the ledger for the account's numbers.
func (c *Client) refresh(ctx context.Context, a *account) error {
	resp, err := c.auth.Account(ctx, &authtypes.QueryAccountRequest{Address: a.addr.String()})
	if status.Code(err) == codes.NotFound {
		return fmt.Errorf("%w: account %s: it has never received anything", ErrNotFound, a.addr)
	}
	if err != nil {
		return fmt.Errorf("ask for the account %s: %w", a.addr, plain(err))
	}
	var acc sdk.AccountI
	if err := c.enc.Registry.UnpackAny(resp.Account, &acc); err != nil {
		return fmt.Errorf("ask for the account %s: %w", a.addr, err)
	}
	a.number, a.sequence, a.known = acc.GetAccountNumber(), acc.GetSequence(), true
	return nil
}

// gasPrice is what to offer for a unit of gas.
func (c *Client) gasPrice(ctx context.Context) (math.LegacyDec, error) {
	resp, err := c.fees.BaseFee(ctx, &feemarkettypes.QueryBaseFeeRequest{})
	if err != nil {
		return math.LegacyDec{}, fmt.Errorf("ask for the price of gas: %w", plain(err))
	}
	if resp.BaseFee == nil || resp.BaseFee.IsNil() {
		return math.LegacyZeroDec(), nil
	}
	return resp.BaseFee.MulInt64(100 + priceMargin).QuoInt64(100), nil
}

// simulate runs a transaction on the latest state and returns the gas it took. It
// goes through the ABCI query because that keeps a module's error code.
func (c *Client) simulate(ctx context.Context, raw []byte) (uint64, error) {
	resp, err := c.abci.ABCIQuery(ctx, &cmtservice.ABCIQueryRequest{Path: "/app/simulate", Data: raw})
	if err != nil {
		return 0, fmt.Errorf("try the transaction: %w", plain(err))
	}
	if resp.Code != 0 {
		return 0, newError(resp.Codespace, resp.Code, strings.TrimSuffix(resp.Log, ": failed to simulate tx"), "")
	}
	var sim struct {
		GasInfo struct {
			GasUsed string `json:"gas_used"`
		} `json:"gas_info"`
	}
	if err := json.Unmarshal(resp.Value, &sim); err != nil {
		return 0, fmt.Errorf("try the transaction: read the answer: %w", err)
	}
	gas, err := strconv.ParseUint(sim.GasInfo.GasUsed, 10, 40)
	if err != nil {
		return 0, fmt.Errorf("try the transaction: read the answer: %w", err)
	}
	return gas, nil
}

// confirm waits until a transaction is in a block.
func (c *Client) confirm(ctx context.Context, hash string) (TxResult, error) {
	res := TxResult{Hash: hash}
	wait, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	for {
		resp, err := c.tx.GetTx(wait, &txtypes.GetTxRequest{Hash: hash})
		switch {
		case err == nil:
			return c.result(resp.TxResponse)
		case wait.Err() != nil:
			return res, fmt.Errorf("%w: %s: %w", ErrUnconfirmed, hash, wait.Err())
		case status.Code(err) != codes.NotFound && status.Code(err) != codes.Unavailable:
			return res, fmt.Errorf("%w: %s: %w", ErrUnconfirmed, hash, plain(err))
		}
		if !sleep(wait, poll) {
			return res, fmt.Errorf("%w: %s: %w", ErrUnconfirmed, hash, wait.Err())
		}
	}
}

// result reads what a block says about a transaction.
func (c *Client) result(r *sdk.TxResponse) (TxResult, error) {
	res := TxResult{Hash: r.TxHash, Height: r.Height, GasWanted: r.GasWanted, GasUsed: r.GasUsed, Events: r.Events}
	if r.Code != 0 {
		return res, newError(r.Codespace, r.Code, r.RawLog, r.TxHash)
	}
	data, err := hex.DecodeString(r.Data)
	if err != nil {
		return res, fmt.Errorf("transaction %s: read its responses: %w", r.TxHash, err)
	}
	var msgs sdk.TxMsgData
	if err := proto.Unmarshal(data, &msgs); err != nil {
		return res, fmt.Errorf("transaction %s: read its responses: %w", r.TxHash, err)
	}
	for _, m := range msgs.MsgResponses {
		res.responses = append(res.responses, &anyResponse{url: m.TypeUrl, value: m.Value})
	}
	return res, nil
}

// kinds names messages for an error: "MsgSend", "2 messages (MsgSend, …)".
func kinds(msgs []sdk.Msg) string {
	url := sdk.MsgTypeURL(msgs[0])
	name := url[strings.LastIndexByte(url, '.')+1:]
	if len(msgs) == 1 {
		return name
	}
	return fmt.Sprintf("%d messages (%s, …)", len(msgs), name)
}
