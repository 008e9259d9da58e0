// Package client talks to a ledger node over gRPC: it sends transactions, waits
// until they are in a block, asks for state and follows the blocks. The
// gateway and the command use it.
//
//	New            connect; the node says which network it is of
//	Send           messages in one transaction, signed, in a block, done
//	Contracts      calls of contracts, by transactions of the EVM
//	Follow         every height once, in order, through restarts of the node
//	Height, Balance, Conn (for the modules' generated query clients)
//
// An error that the ledger gave is an *Error, and errors.Is finds in it the error
// that the module registered.
package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"iter"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	sdkmath "cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	nodeservice "github.com/cosmos/cosmos-sdk/client/grpc/node"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
	"github.com/cantus-network/cantus/ledger/keys"
)

// Client is a connection to one node. It may be used from many goroutines.
type Client struct {
	conn    *grpc.ClientConn
	enc     encoding.Config
	ring    keys.Ring
	chainID string
	ctx     context.Context // until Close
	cancel  context.CancelFunc

	node nodeservice.ServiceClient
	tx   txtypes.ServiceClient
	abci cmtservice.ServiceClient
	auth authtypes.QueryClient
	bank banktypes.QueryClient
	fees feemarkettypes.QueryClient

	mu       sync.Mutex
	accounts map[string]*account // by key name
}

// Option changes how New connects.
type Option func(*options)

type options struct {
	creds credentials.TransportCredentials
}

// WithTLS encrypts the connection: for a node on another machine.
func WithTLS(cfg *tls.Config) Option {
	return func(o *options) { o.creds = credentials.NewTLS(cfg) }
}

const (
	// maxMessage bounds an answer.
	maxMessage = 64 << 20
	// poll is how often the client looks for a new block or a transaction in one:
	// a fraction of the shortest block time.
	poll = 50 * time.Millisecond
	// retryMax bounds the pause between attempts to reach a node that is away.
	retryMax = 5 * time.Second
)

// New connects to the node whose gRPC server is at addr, host:port. ring signs
// what Send sends; it may be nil for a client that only asks.
func New(ctx context.Context, addr string, ring keys.Ring, opts ...Option) (*Client, error) {
	o := options{creds: insecure.NewCredentials()}
	for _, opt := range opts {
		opt(&o)
	}
	enc := encoding.New(chain.DefaultEVMChainID)
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(o.creds),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(codec.NewProtoCodec(enc.Registry).GRPCCodec()),
			grpc.MaxCallRecvMsgSize(maxMessage),
		),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: retryMax},
			MinConnectTimeout: retryMax,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Minute}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the ledger at %s: %w", addr, err)
	}
	c := &Client{
		conn: conn, enc: enc, ring: ring,
		node:     nodeservice.NewServiceClient(conn),
		tx:       txtypes.NewServiceClient(conn),
		abci:     cmtservice.NewServiceClient(conn),
		auth:     authtypes.NewQueryClient(conn),
		bank:     banktypes.NewQueryClient(conn),
		fees:     feemarkettypes.NewQueryClient(conn),
		accounts: map[string]*account{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	info, err := c.abci.GetNodeInfo(ctx, &cmtservice.GetNodeInfoRequest{})
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("connect to the ledger at %s: %w", addr, plain(err))
	}
	c.chainID = info.DefaultNodeInfo.Network
	return c, nil
}

// Close ends the connection, and with an error what is being sent by it.
func (c *Client) Close() error {
	c.cancel()
	return c.conn.Close()
}

// Conn is the connection, for the generated query clients of the modules.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// ChainID is the ID of the network that the node is of.
func (c *Client) ChainID() string { return c.chainID }

// Height is the height of the node's latest state.
func (c *Client) Height(ctx context.Context) (int64, error) {
	st, err := c.node.Status(ctx, &nodeservice.StatusRequest{})
	if err != nil {
		return 0, fmt.Errorf("ask the ledger for its height: %w", plain(err))
	}
	if st.Height > math.MaxInt64 {
		return 0, fmt.Errorf("ask the ledger for its height: it answers %d", st.Height)
	}
	return int64(st.Height), nil
}

// Balance is what an account holds, in the base denomination.
func (c *Client) Balance(ctx context.Context, addr sdk.AccAddress) (sdkmath.Int, error) {
	resp, err := c.bank.Balance(ctx, &banktypes.QueryBalanceRequest{Address: addr.String(), Denom: chain.BaseDenom})
	if err != nil {
		return sdkmath.Int{}, fmt.Errorf("ask for the balance of %s: %w", addr, plain(err))
	}
	if resp.Balance == nil {
		return sdkmath.ZeroInt(), nil
	}
	return resp.Balance.Amount, nil
}

// Address is the address of a key in the client's ring.
func (c *Client) Address(name string) (sdk.AccAddress, error) {
	if c.ring == nil {
		return nil, fmt.Errorf("%w: %q: this client has no keys", keys.ErrNoKey, name)
	}
	a, err := keys.Find(c.ring, name)
	return a.Address, err
}

// Follow yields every height from from on, in order, each as soon as the node's
// state is there; it catches up first when that is behind. When the node cannot
// be reached it yields an error, pauses and goes on where it was, so a caller may
// log the error and continue. It ends with ctx.
func (c *Client) Follow(ctx context.Context, from int64) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		next, pause := max(from, 1), poll
		for ctx.Err() == nil {
			h, err := c.Height(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				if !yield(0, err) {
					return
				}
				pause = min(2*pause, retryMax)
			default:
				pause = poll
				for ; next <= h; next++ {
					if ctx.Err() != nil || !yield(next, nil) {
						return
					}
				}
			}
			if !sleep(ctx, pause) {
				return
			}
		}
	}
}

// sleep waits for d and tells whether ctx is still on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// plain makes an error of gRPC readable.
func plain(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.Unavailable:
		return fmt.Errorf("%w: is the node running? (%s)", ErrUnreachable, s.Message())
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %s", context.DeadlineExceeded, s.Message())
	case codes.Canceled:
		return fmt.Errorf("%w: %s", context.Canceled, s.Message())
	case codes.NotFound:
		return fmt.Errorf("%w: %s", ErrNotFound, s.Message())
	}
	return err
}
