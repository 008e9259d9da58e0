package node

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/genesis"
)

// Setup says what a new home is to be.
type Setup struct {
	// Moniker is the node's name among others.
	Moniker string
	// Devnet makes it the one node of a one-machine network: 200 ms blocks, ports
	// of its own choice on loopback, little disk.
	Devnet bool
	// Genesis is where the network starts.
	Genesis *genesis.Genesis
	// Listen replaces the default addresses where it is not empty.
	Listen Listen
	// Peers are nodes to stay connected to, nodeID@host:port.
	Peers []string
	// BlockPause is how long the node waits after a block before the next; zero for the
	// default of 1.5 s, or 200 ms on a one-machine network.
	BlockPause time.Duration
	// StateSync, when not nil, has the node fetch a recent state instead of
	// replaying every block.
	StateSync *StateSync
}

// StateSync is a block that the operator trusts, from a source other than the
// servers, and where to fetch the state that it vouches for.
type StateSync struct {
	Height int64
	Hash   string   // hexadecimal, of that height's block
	RPC    []string // at least two nodes' RPC addresses; the same may be given twice
}

// Identity are the public halves of a node's own keys.
type Identity struct {
	NodeID       string            // names the node to its peers
	ConsensusKey cmted25519.PubKey // what its votes are signed with
}

// LoadIdentity reads a home's keys and makes them when there are none yet.
func LoadIdentity(home string) (Identity, error) {
	chain.Configure()
	for _, dir := range []string{"config", dataDir} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			return Identity{}, fmt.Errorf("make the ledger's home: %w", err)
		}
	}
	cfg := cmtcfg.DefaultConfig()
	cfg.SetRoot(home)
	key, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return Identity{}, fmt.Errorf("the node key %s: %w", cfg.NodeKeyFile(), err)
	}
	pv, err := loadVotingKey(cfg)
	if err != nil {
		return Identity{}, err
	}
	pub, err := pv.GetPubKey()
	if err != nil {
		return Identity{}, fmt.Errorf("the voting key: %w", err)
	}
	ed, ok := pub.(cmted25519.PubKey)
	if !ok {
		return Identity{}, fmt.Errorf("the voting key in %s is of type %s: the ledger's validators vote with ed25519", cfg.PrivValidatorKeyFile(), pub.Type())
	}
	return Identity{NodeID: string(key.ID()), ConsensusKey: ed}, nil
}

// loadVotingKey reads, or makes, the validator's key. CometBFT's loader ends the
// process over a broken file, so the file is read once before it is.
func loadVotingKey(cfg *cmtcfg.Config) (*privval.FilePV, error) {
	keyPath, statePath := cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()
	if err := checkJSON(keyPath); err != nil {
		return nil, fmt.Errorf("the voting key: %w", err)
	}
	if err := checkJSON(statePath); err != nil {
		return nil, fmt.Errorf("the record of what was voted: %w", err)
	}
	_, keyErr := os.Stat(keyPath)
	_, stateErr := os.Stat(statePath)
	switch {
	case keyErr == nil && errors.Is(stateErr, os.ErrNotExist):
		// A key without its record could vote twice for one height.
		return privval.LoadFilePVEmptyState(keyPath, statePath), nil
	default:
		return privval.LoadOrGenFilePV(keyPath, statePath), nil
	}
}

// Init prepares a home. It refuses one that is prepared already.
func Init(home string, s Setup) error {
	home, err := filepath.Abs(home)
	if err != nil {
		return fmt.Errorf("prepare the ledger's home: %w", err)
	}
	if _, err := os.Stat(filepath.Join(home, configFile)); err == nil {
		return fmt.Errorf("prepare the ledger's home: %s is one already", home)
	}
	if s.Genesis == nil {
		return errors.New("prepare the ledger's home: no genesis is given")
	}
	if s.Moniker == "" {
		s.Moniker = "cantus"
	}
	for _, p := range s.Peers {
		if _, err := p2p.NewNetAddressString(p); err != nil || !strings.Contains(p, "@") {
			return fmt.Errorf("prepare the ledger's home: peer %.200q is not nodeID@host:port: %w", p, err)
		}
	}
	if ss := s.StateSync; ss != nil {
		if hash, err := hex.DecodeString(ss.Hash); err != nil || len(hash) != 32 {
			return fmt.Errorf("prepare the ledger's home: the trusted hash %.80q is not 64 hexadecimal digits", ss.Hash)
		}
		if ss.Height <= 0 {
			return errors.New("prepare the ledger's home: the trusted height must be positive")
		}
		if len(ss.RPC) < 2 {
			return errors.New("prepare the ledger's home: state sync wants two RPC servers, to compare what they say")
		}
	}
	if _, err := LoadIdentity(home); err != nil {
		return err
	}
	if err := genesis.Write(s.Genesis, filepath.Join(home, genesisFile)); err != nil {
		return err
	}
	c := defaultConfig(home, s)
	if err := c.comet.ValidateBasic(); err != nil {
		return fmt.Errorf("prepare the ledger's home: %w", err)
	}
	// config.toml comes last in write: it is what marks a home as prepared.
	return c.write(home)
}

// Prepared tells whether a home has been prepared.
func Prepared(home string) bool {
	_, err := os.Stat(filepath.Join(home, configFile))
	return err == nil
}

// GenesisPath is where a home keeps its genesis file.
func GenesisPath(home string) string { return filepath.Join(home, genesisFile) }

// ReplaceGenesis gives a prepared home another genesis file: while a network is
// being founded its file grows. It refuses when the home has blocks already.
func ReplaceGenesis(home string, g *genesis.Genesis) error {
	lock, err := lockHome(home)
	if err != nil {
		return err
	}
	defer lock.release()
	if _, err := os.Stat(filepath.Join(home, dataDir, "blockstore.db")); err == nil {
		return fmt.Errorf("replace the genesis file: %s has blocks already: they belong to the file it has", home)
	}
	return genesis.Write(g, GenesisPath(home))
}
