package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cosmossdk.io/math"
	"github.com/spf13/cobra"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/keys"
)

// connectTime is how long a network has to answer before it counts as not running.
const connectTime = 5 * time.Second

// session is the network that a command talks to.
type session struct {
	market.View
	ledger *client.Client
	ring   keys.Ring
	net    home.Network
	g      *globals
}

// connect reaches the ledger named by --grpc or by the home's network.json.
func (g *globals) connect(ctx context.Context) (*session, error) {
	net, err := g.home().ReadNetwork()
	if err != nil && (g.grpc == "" || !errors.Is(err, home.ErrNoNetwork)) {
		return nil, err
	}
	if g.grpc != "" && g.grpc != net.GRPC {
		net = home.Network{GRPC: g.grpc}
	}
	if g.gateway != "" {
		net.Gateway = g.gateway
	}
	return g.connectTo(ctx, net)
}

func (g *globals) connectTo(ctx context.Context, net home.Network) (*session, error) {
	ring, err := g.ring()
	if err != nil {
		return nil, err
	}
	dial, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	c, err := client.New(dial, net.GRPC, ring)
	if err != nil {
		return nil, fmt.Errorf("%w; start a network with `cantus up`, or name another with --grpc", err)
	}
	if net.ChainID != "" && c.ChainID() != net.ChainID {
		c.Close()
		return nil, fmt.Errorf("the ledger at %s is of the network %s, but %s says %s", net.GRPC, c.ChainID(), g.home().Path("network.json"), net.ChainID)
	}
	net.ChainID = c.ChainID()
	return &session{View: market.NewView(c.Conn()), ledger: c, ring: ring, net: net, g: g}, nil
}

// tryConnect is connect for commands that can do without a network.
func (g *globals) tryConnect(ctx context.Context) (*session, error) {
	if _, err := g.home().ReadNetwork(); err != nil && g.grpc == "" {
		return nil, err
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return g.connect(short)
}

// withSession makes a command's body of f, on the network that the flags name.
func (g *globals) withSession(f func(cmd *cobra.Command, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := g.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		return f(cmd, s, args)
	}
}

// Close ends the connection.
func (s *session) Close() { s.ledger.Close() }

// account finds one of the home's own accounts.
func (s *session) account(name string) (keys.Account, error) {
	a, err := keys.Find(s.ring, name)
	if err != nil {
		return a, fmt.Errorf("%w; `cantus account list` shows the accounts of %s, `cantus account create %s` makes one", err, s.g.home(), name)
	}
	return a, nil
}

func (s *session) balance(ctx context.Context, address string) (math.Int, error) {
	addr, err := parseAddress(address)
	if err != nil {
		return math.Int{}, err
	}
	return s.ledger.Balance(ctx, addr)
}

// send puts messages into one transaction and waits for its block.
func (s *session) send(ctx context.Context, from string, msgs ...sdk.Msg) (height int64, hash string, err error) {
	r, err := s.ledger.Send(ctx, from, msgs...)
	return r.Height, r.Hash, err
}

// gatewayAPI is the gateway that --gateway or the home's network names.
func (s *session) gatewayAPI() (*api.Client, error) {
	if s.net.Gateway == "" {
		return nil, errors.New("no gateway is known: name its URL with --gateway; `cantus gateway list` shows those that are registered")
	}
	return api.New(s.net.Gateway)
}
