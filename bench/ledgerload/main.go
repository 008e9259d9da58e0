// Command ledgerload sends transfers to a ledger as fast as it takes them and measures how
// many a second become final and how long each takes from submission to its block.
//
//	ledgerload accounts -senders N                  print the senders' addresses
//	ledgerload run -senders N -grpc HOST:PORT[,…] -for 30s
//
// The senders' keys follow from their numbers: an encrypted key ring would be what is
// measured. Each sender has one transfer under way at a time; it is final when a node has the block
// that holds it. In the end the recipient's balance must be what the blocks say. bench/ledger.sh
// starts the networks and runs it.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	"github.com/cosmos/cosmos-sdk/client/tx"
	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authsigning "github.com/cosmos/cosmos-sdk/x/auth/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/evm/crypto/ethsecp256k1"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/encoding"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ledgerload:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("want accounts or run")
	}
	f := flag.NewFlagSet(args[0], flag.ExitOnError)
	senders := f.Int("senders", 400, "accounts that send, each one transfer at a time")
	nodes := f.String("grpc", "", "nodes to send to, host:port, separated by commas")
	duration := f.Duration("for", 30*time.Second, "how long to send")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	chain.Configure()
	switch args[0] {
	case "accounts":
		for i := range *senders {
			fmt.Println(addressOf(i))
		}
		return nil
	case "run":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		return load(ctx, *senders, strings.Split(*nodes, ","), *duration)
	}
	return fmt.Errorf("no command %q: want accounts or run", args[0])
}

// keyOf is a sender's key. It holds worthless notes only.
func keyOf(i int) *ethsecp256k1.PrivKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "cantus bench ledgerload %d", i))
	return &ethsecp256k1.PrivKey{Key: seed[:]}
}

func addressOf(i int) string { return sdk.AccAddress(keyOf(i).PubKey().Address()).String() }

const (
	transferGas = 150_000
	// The price of gas rises while blocks are full; what is offered must outlast the run.
	priceTimes = 20
	finalTime  = 60 * time.Second
)

// figures are the report.
type figures struct {
	Nodes     int     `json:"nodes"`
	Senders   int     `json:"senders"`
	Seconds   float64 `json:"seconds"`
	Final     int     `json:"transactions_final"`
	PerSec    float64 `json:"transactions_per_second"`
	P50       float64 `json:"submit_to_final_p50_ms"`
	P99       float64 `json:"submit_to_final_p99_ms"`
	Max       float64 `json:"submit_to_final_max_ms"`
	Refused   int     `json:"refused"`
	Blocks    int64   `json:"blocks"`
	BlockTime float64 `json:"block_seconds"`
	TxBytes   int     `json:"transaction_bytes"`
}

// bench is one run.
type bench struct {
	enc     encoding.Config
	chainID string
	fee     sdk.Coins
	to      sdk.AccAddress

	mu      sync.Mutex
	waiting map[[32]byte]chan struct{} // closed once the transaction is in a block
	refused atomic.Int64
	bytes   atomic.Int64
}

func load(ctx context.Context, senders int, nodes []string, duration time.Duration) error {
	var clients []*client.Client
	for _, n := range nodes {
		c, err := client.New(ctx, n, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		clients = append(clients, c)
	}
	b := &bench{enc: encoding.New(chain.DefaultEVMChainID), chainID: clients[0].ChainID(), waiting: map[[32]byte]chan struct{}{}}
	b.fee = chain.Coins(math.NewInt(1_000_000_000).MulRaw(transferGas).MulRaw(priceTimes))
	b.to = sdk.AccAddress(fmt.Appendf(nil, "%020d", time.Now().UnixNano()%1e18))

	from, err := clients[0].Height(ctx)
	if err != nil {
		return err
	}
	following, stopFollowing := context.WithCancel(ctx)
	defer stopFollowing()
	var last atomic.Int64
	last.Store(from)
	go b.follow(following, clients[0], from+1, &last)

	began := time.Now()
	sending, stop := context.WithDeadline(ctx, began.Add(duration))
	defer stop()
	took := make([][]time.Duration, senders)
	errs := make([]error, senders)
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() { took[i], errs[i] = b.sender(ctx, sending, clients[i%len(clients)], i) })
	}
	wg.Wait()
	past := time.Since(began).Seconds()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return errors.New("nothing became final")
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[min(len(all)-1, int(q*float64(len(all))))].Microseconds()) / 1000
	}
	blocks := last.Load() - from
	r := figures{
		Nodes: len(nodes), Senders: senders, Seconds: past, Final: len(all), PerSec: float64(len(all)) / past, P50: at(0.5), P99: at(0.99), Max: at(1),
		Refused: int(b.refused.Load()), Blocks: blocks, BlockTime: past / float64(max(1, blocks)), TxBytes: int(b.bytes.Load()),
	}
	got, err := clients[0].Balance(ctx, b.to)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(r); err != nil {
		return err
	}
	if want := math.NewInt(int64(len(all))); !got.Equal(want) {
		return fmt.Errorf("%s transfers were in blocks, but the recipient holds %s anote", want, got)
	}
	return nil
}

// sender sends one transfer after another until sending ends, and tells how long each took.
func (b *bench) sender(ctx, sending context.Context, c *client.Client, i int) ([]time.Duration, error) {
	resp, err := authtypes.NewQueryClient(c.Conn()).Account(ctx, &authtypes.QueryAccountRequest{Address: addressOf(i)})
	if err != nil {
		return nil, fmt.Errorf("ask for sender %d: %w", i, err)
	}
	var acc sdk.AccountI
	if err := b.enc.Registry.UnpackAny(resp.Account, &acc); err != nil {
		return nil, err
	}
	service := txtypes.NewServiceClient(c.Conn())
	var took []time.Duration
	for sequence := acc.GetSequence(); sending.Err() == nil; sequence++ {
		raw, err := b.sign(ctx, keyOf(i), acc.GetAccountNumber(), sequence)
		if err != nil {
			return took, err
		}
		final := make(chan struct{})
		hash := sha256.Sum256(raw)
		b.mu.Lock()
		b.waiting[hash] = final
		b.mu.Unlock()
		began := time.Now()
		reply, err := service.BroadcastTx(ctx, &txtypes.BroadcastTxRequest{TxBytes: raw, Mode: txtypes.BroadcastMode_BROADCAST_MODE_SYNC})
		if err != nil {
			return took, fmt.Errorf("submit: %w", err)
		}
		if reply.TxResponse.Code != 0 {
			b.refused.Add(1)
			return took, fmt.Errorf("refused: %s", reply.TxResponse.RawLog)
		}
		select {
		case <-final:
			took = append(took, time.Since(began))
		case <-ctx.Done():
			return took, ctx.Err()
		case <-time.After(finalTime):
			return took, fmt.Errorf("a transfer of sender %d is in no block after %v", i, finalTime)
		}
	}
	return took, nil
}

func (b *bench) sign(ctx context.Context, key *ethsecp256k1.PrivKey, number, sequence uint64) ([]byte, error) {
	from := sdk.AccAddress(key.PubKey().Address())
	builder := b.enc.Tx.NewTxBuilder()
	if err := builder.SetMsgs(banktypes.NewMsgSend(from, b.to, chain.Coins(math.OneInt()))); err != nil {
		return nil, err
	}
	builder.SetGasLimit(transferGas)
	builder.SetFeeAmount(b.fee)
	// What is signed names the key and the number, so they come first.
	const mode = signing.SignMode_SIGN_MODE_DIRECT
	empty := signing.SignatureV2{PubKey: key.PubKey(), Data: &signing.SingleSignatureData{SignMode: mode}, Sequence: sequence}
	if err := builder.SetSignatures(empty); err != nil {
		return nil, err
	}
	signer := authsigning.SignerData{Address: from.String(), ChainID: b.chainID, AccountNumber: number, Sequence: sequence, PubKey: key.PubKey()}
	signature, err := tx.SignWithPrivKey(ctx, mode, signer, builder, key, b.enc.Tx, sequence)
	if err != nil {
		return nil, err
	}
	if err := builder.SetSignatures(signature); err != nil {
		return nil, err
	}
	raw, err := b.enc.Tx.TxEncoder()(builder.GetTx())
	b.bytes.Store(int64(len(raw)))
	return raw, err
}

// follow reads every block and wakes those whose transactions are in it.
func (b *bench) follow(ctx context.Context, c *client.Client, from int64, last *atomic.Int64) {
	blocks := cmtservice.NewServiceClient(c.Conn())
	for h, err := range c.Follow(ctx, from) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "ledgerload: follow the blocks:", err)
			continue
		}
		r, err := blocks.GetBlockByHeight(ctx, &cmtservice.GetBlockByHeightRequest{Height: h})
		if err != nil {
			fmt.Fprintf(os.Stderr, "ledgerload: block %d: %v\n", h, err)
			continue
		}
		b.mu.Lock()
		for _, raw := range r.SdkBlock.Data.Txs {
			hash := sha256.Sum256(raw)
			if final := b.waiting[hash]; final != nil {
				close(final)
				delete(b.waiting, hash)
			}
		}
		b.mu.Unlock()
		last.Store(h)
	}
}
