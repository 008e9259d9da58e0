package genesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
)

// maxFile bounds a genesis file: an exported network of millions of accounts fits.
const maxFile = 1 << 30

// ErrInvalid is wrapped by every error about a genesis file's content.
var ErrInvalid = errors.New("invalid genesis file")

// Read reads and checks a genesis file. What it returns has passed every
// module's own validation.
func Read(path string) (*Genesis, error) { return read(path, true) }

// ReadPast reads the genesis file of a network that may have begun with an earlier program.
// The modules' states in it are not held to today's rules, which ask for parameters that
// came with an upgrade.
func ReadPast(path string) (*Genesis, error) { return read(path, false) }

func read(path string, modules bool) (*Genesis, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the genesis file: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the genesis file %s: %w", path, err)
	}
	g, err := parse(raw, modules)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// Parse is Read for a file's content.
func Parse(raw []byte) (g *Genesis, err error) { return parse(raw, true) }

func parse(raw []byte, modules bool) (g *Genesis, err error) {
	// Some modules validate by panicking.
	defer func() {
		if r := recover(); r != nil {
			g, err = nil, fmt.Errorf("%w: %s", ErrInvalid, firstLine(fmt.Sprint(r)))
		}
	}()
	if len(raw) > maxFile {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrInvalid, maxFile)
	}
	g = &Genesis{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(g); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the JSON object", ErrInvalid)
	}
	if err := check(g, modules); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return g, nil
}

// check validates a genesis as a whole and, if modules are to be, module by module.
func check(g *Genesis, modules bool) error {
	if g.Consensus == nil {
		return errors.New("the consensus section is missing")
	}
	if !chainIDs.MatchString(g.ChainID) {
		return fmt.Errorf("chain_id %.80q: use 3 to 48 of a-z, 0-9 and -, beginning with a letter", g.ChainID)
	}
	if g.GenesisTime.IsZero() {
		return errors.New("genesis_time is missing")
	}
	if err := g.ValidateAndComplete(); err != nil {
		return err
	}
	state, err := appState(g)
	if err != nil {
		return err
	}
	evmChainID, err := EVMChainID(g)
	if err != nil {
		return err
	}
	if !modules {
		return nil
	}
	basics := ledger.Basics()
	for name := range state {
		if _, known := basics[name]; !known && name != section {
			return fmt.Errorf("app_state has a section %.80q that no module of this ledger reads", name)
		}
	}
	for name := range basics {
		// A module without a genesis state of its own has none in the file.
		if _, has := state[name]; !has && hasGenesis(name) {
			return fmt.Errorf("app_state has no section for the module %s", name)
		}
	}
	enc := encoding.New(evmChainID)
	if err := basics.ValidateGenesis(enc.Codec, enc.Tx, state); err != nil {
		return fmt.Errorf("app_state: %w", err)
	}
	var bank banktypes.GenesisState
	if err := enc.Codec.UnmarshalJSON(state[banktypes.ModuleName], &bank); err != nil {
		return fmt.Errorf("app_state.bank: %w", err)
	}
	if !slices.ContainsFunc(bank.DenomMetadata, func(m banktypes.Metadata) bool {
		return m.Base == chain.BaseDenom && m.Display == chain.DisplayDenom && len(m.DenomUnits) == 2 && m.DenomUnits[1].Exponent == chain.Decimals
	}) {
		return fmt.Errorf("app_state.bank.denom_metadata does not describe %s with %d decimals", chain.DisplayDenom, chain.Decimals)
	}
	var staking stakingtypes.GenesisState
	if err := enc.Codec.UnmarshalJSON(state[stakingtypes.ModuleName], &staking); err != nil {
		return fmt.Errorf("app_state.staking: %w", err)
	}
	if staking.Params.BondDenom != chain.BaseDenom {
		return fmt.Errorf("app_state.staking.params.bond_denom is %.80q, not %s", staking.Params.BondDenom, chain.BaseDenom)
	}
	return nil
}

// hasGenesis tells whether a module's default genesis has a section of its own.
func hasGenesis(module string) bool {
	enc := encoding.New(chain.DefaultEVMChainID)
	_, has := ledger.Basics().DefaultGenesis(enc.Codec)[module]
	return has
}

// HasValidators tells whether a network could start from g: somebody must vote.
func HasValidators(g *Genesis) (bool, error) {
	if g.Consensus != nil && len(g.Consensus.Validators) > 0 {
		return true, nil
	}
	state, err := appState(g)
	if err != nil {
		return false, err
	}
	enc := encoding.New(chain.DefaultEVMChainID)
	var gu genutiltypes.GenesisState
	if err := enc.Codec.UnmarshalJSON(state[genutiltypes.ModuleName], &gu); err != nil {
		return false, fmt.Errorf("app_state.genutil: %w", err)
	}
	return len(gu.GenTxs) > 0, nil
}

// Write writes g to path in one step, so that a crash leaves the old file or the
// new one.
func Write(g *Genesis, path string) error {
	raw, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return fmt.Errorf("write the genesis file: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the genesis file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".genesis-*")
	if err != nil {
		return fmt.Errorf("write the genesis file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(raw, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("write the genesis file %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write the genesis file: %w", err)
	}
	return nil
}

// firstLine keeps an error from bringing a stack trace along.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
