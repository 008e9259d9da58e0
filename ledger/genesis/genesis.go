// Package genesis writes and reads genesis files: the state that every machine
// of a network starts from.
//
//	New       a network's parameters and first accounts
//	AddStake  a validator's first stake, as a transaction it signed itself
//	Read      a file from outside, checked, with errors that say what is wrong
//	EVMChainID, HasValidators, Holds  what others ask of it
//
// A one-machine network is New with Devnet set, one account and one AddStake.
package genesis

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"time"

	cmttypes "github.com/cometbft/cometbft/types"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	erc20types "github.com/cosmos/evm/x/erc20/types"
	feemarkettypes "github.com/cosmos/evm/x/feemarket/types"
	evmtypes "github.com/cosmos/evm/x/vm/types"
	"github.com/cosmos/gogoproto/proto"

	"github.com/cantus-network/cantus/ledger"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// Genesis is a genesis file's content.
type Genesis = genutiltypes.AppGenesis

// section is the part of app_state that is the ledger's own and no module's.
const section = "ledger"

// settings are what is in it.
type settings struct {
	EVMChainID uint64 `json:"evm_chain_id,string"`
}

// Account is a first account and what it holds.
type Account struct {
	Address sdk.AccAddress
	Amount  math.Int // in the base denomination
}

// Network says what a new network is like.
type Network struct {
	ChainID    string    // required: 3 to 48 of a-z, 0-9 and -
	EVMChainID uint64    // zero: chain.DefaultEVMChainID
	Time       time.Time // zero: now
	Accounts   []Account
	// Devnet makes the network one for a single machine: quick votes, and blocks
	// that are dropped after minutes.
	Devnet bool
	// AllowLoopback lets the network's workers fetch from loopback addresses, which
	// only makes sense on a single machine.
	AllowLoopback bool
	// Market changes parameters of x/work, each NAME=VALUE as the genesis file has them.
	Market []string
}

const (
	// basePrice is the least price of a unit of gas, in the base denomination.
	basePrice = 1_000_000_000
	// blockGas is the gas that fits a block.
	blockGas = 40_000_000
	// blockBytes is the size of the largest block.
	blockBytes = 4 << 20

	devnetBlockTime  = 200 * time.Millisecond
	networkBlockTime = 2 * time.Second
	year             = 365 * 24 * time.Hour

	// DevnetRetainBlocks is how many blocks a devnet's nodes keep: ten minutes.
	DevnetRetainBlocks = 3000
)

// chainIDs is narrower than CometBFT's rule so that an ID can name a directory.
var chainIDs = regexp.MustCompile(`^[a-z][a-z0-9-]{2,47}$`)

// New is the genesis of a network without validators yet.
func New(n Network) (*Genesis, error) {
	if !chainIDs.MatchString(n.ChainID) {
		return nil, fmt.Errorf("chain ID %.80q: use 3 to 48 of a-z, 0-9 and -, beginning with a letter", n.ChainID)
	}
	if n.EVMChainID == 0 {
		n.EVMChainID = chain.DefaultEVMChainID
	}
	if n.Time.IsZero() {
		n.Time = time.Now()
	}
	enc := encoding.New(n.EVMChainID)
	state := ledger.Basics().DefaultGenesis(enc.Codec)
	set := func(name string, edit func() (proto.Message, error)) error {
		m, err := edit()
		if err != nil {
			return fmt.Errorf("genesis of %s: %w", name, err)
		}
		raw, err := enc.Codec.MarshalJSON(m)
		if err != nil {
			return fmt.Errorf("genesis of %s: %w", name, err)
		}
		state[name] = raw
		return nil
	}

	accounts, balances, err := accountState(n.Accounts)
	if err != nil {
		return nil, err
	}
	blockTime := networkBlockTime
	if n.Devnet {
		blockTime = devnetBlockTime
	}
	edits := []struct {
		name string
		edit func() (proto.Message, error)
	}{
		{authtypes.ModuleName, func() (proto.Message, error) {
			packed, err := authtypes.PackAccounts(accounts)
			return &authtypes.GenesisState{Params: authtypes.DefaultParams(), Accounts: packed}, err
		}},
		{banktypes.ModuleName, func() (proto.Message, error) {
			g := banktypes.DefaultGenesisState()
			g.Balances = balances
			for _, b := range balances {
				g.Supply = g.Supply.Add(b.Coins...)
			}
			g.DenomMetadata = []banktypes.Metadata{metadata()}
			return g, nil
		}},
		{stakingtypes.ModuleName, func() (proto.Message, error) {
			g := stakingtypes.DefaultGenesisState()
			g.Params.BondDenom = chain.BaseDenom
			g.Params.HistoricalEntries = 0 // for IBC, which there is none of
			return g, nil
		}},
		{slashingtypes.ModuleName, func() (proto.Message, error) {
			g := slashingtypes.DefaultGenesisState()
			g.Params.SignedBlocksWindow = int64(10 * time.Minute / blockTime)
			return g, nil
		}},
		{minttypes.ModuleName, func() (proto.Message, error) {
			g := minttypes.DefaultGenesisState()
			g.Params.MintDenom = chain.BaseDenom
			g.Params.BlocksPerYear = uint64(year / blockTime)
			g.Params.InflationMin = math.LegacyNewDecWithPrec(1, 2)
			g.Params.InflationMax = math.LegacyNewDecWithPrec(3, 2)
			g.Params.InflationRateChange = math.LegacyNewDecWithPrec(2, 2)
			g.Minter.Inflation = math.LegacyNewDecWithPrec(2, 2)
			return g, nil
		}},
		{govtypes.ModuleName, func() (proto.Message, error) {
			g := govv1.DefaultGenesisState()
			g.Params.MinDeposit = chain.Coins(chain.Notes(1000))
			g.Params.ExpeditedMinDeposit = chain.Coins(chain.Notes(5000))
			if n.Devnet {
				voting, expedited, deposit := 30*time.Second, 10*time.Second, 30*time.Second
				g.Params.VotingPeriod, g.Params.ExpeditedVotingPeriod, g.Params.MaxDepositPeriod = &voting, &expedited, &deposit
			}
			return g, nil
		}},
		{evmtypes.ModuleName, func() (proto.Message, error) {
			g := evmtypes.DefaultGenesisState()
			g.Params.EvmDenom = chain.BaseDenom
			g.Params.ExtendedDenomOptions = &evmtypes.ExtendedDenomOptions{ExtendedDenom: chain.BaseDenom}
			g.Params.ActiveStaticPrecompiles = ledger.ActivePrecompiles()
			g.Preinstalls = evmtypes.DefaultPreinstalls
			return g, nil
		}},
		{erc20types.ModuleName, func() (proto.Message, error) {
			g := erc20types.DefaultGenesisState()
			g.TokenPairs = []erc20types.TokenPair{{
				Erc20Address: nativeToken, Denom: chain.BaseDenom, Enabled: true, ContractOwner: erc20types.OWNER_MODULE,
			}}
			g.NativePrecompiles = []string{nativeToken}
			return g, nil
		}},
		{feemarkettypes.ModuleName, func() (proto.Message, error) {
			g := feemarkettypes.DefaultGenesisState()
			g.Params.BaseFee = math.LegacyNewDec(basePrice)
			g.Params.MinGasPrice = math.LegacyNewDec(basePrice)
			return g, nil
		}},
		{worktypes.ModuleName, func() (proto.Message, error) {
			g := worktypes.DefaultGenesis()
			if n.Devnet {
				g.Params = worktypes.DevnetParams()
			}
			g.Params.AllowLoopback = n.AllowLoopback
			return g, setMarket(enc, &g.Params, n.Market)
		}},
		{requeststypes.ModuleName, func() (proto.Message, error) {
			g := requeststypes.DefaultGenesis()
			if n.Devnet {
				g.Params = requeststypes.DevnetParams()
			}
			return g, nil
		}},
	}
	for _, e := range edits {
		if err := set(e.name, e.edit); err != nil {
			return nil, err
		}
	}
	if state[section], err = json.Marshal(settings{n.EVMChainID}); err != nil {
		return nil, err
	}

	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return nil, err
	}
	params := cmttypes.DefaultConsensusParams()
	params.Block.MaxGas = blockGas
	params.Block.MaxBytes = blockBytes
	if n.Devnet {
		// Nodes keep blocks at least this long, whatever else they are told.
		params.Evidence.MaxAgeNumBlocks = DevnetRetainBlocks
		params.Evidence.MaxAgeDuration = DevnetRetainBlocks * devnetBlockTime
	}
	return &Genesis{
		AppName:       chain.Name,
		GenesisTime:   n.Time.UTC(),
		ChainID:       n.ChainID,
		InitialHeight: 1,
		AppState:      raw,
		Consensus:     &genutiltypes.ConsensusGenesis{Params: params},
	}, nil
}

// nativeToken is the ERC-20 face of the note: the address that Ethereum tools
// use for a chain's own coin.
const nativeToken = "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE"

// metadata tells wallets, and the EVM module, what a note is.
func metadata() banktypes.Metadata {
	return banktypes.Metadata{
		Description: "The note: what work on Cantus is paid in.",
		DenomUnits: []*banktypes.DenomUnit{
			{Denom: chain.BaseDenom, Exponent: 0},
			{Denom: chain.DisplayDenom, Exponent: chain.Decimals},
		},
		Base: chain.BaseDenom, Display: chain.DisplayDenom, Name: "Note", Symbol: "NOTE",
	}
}

// accountState turns the first accounts into the two modules' records of them.
func accountState(accounts []Account) (authtypes.GenesisAccounts, []banktypes.Balance, error) {
	var accs authtypes.GenesisAccounts
	var balances []banktypes.Balance
	seen := map[string]bool{}
	limit := math.NewIntFromBigInt(new(big.Int).Lsh(big.NewInt(1), 192))
	total := math.ZeroInt()
	for _, a := range accounts {
		if err := sdk.VerifyAddressFormat(a.Address); err != nil {
			return nil, nil, fmt.Errorf("genesis account %x: %w", []byte(a.Address), err)
		}
		addr := a.Address.String()
		switch {
		case seen[addr]:
			return nil, nil, fmt.Errorf("genesis account %s is given twice", addr)
		case a.Amount.IsNil() || a.Amount.IsNegative():
			return nil, nil, fmt.Errorf("genesis account %s: the amount is negative or missing", addr)
		}
		seen[addr] = true
		if total = total.Add(a.Amount); total.GT(limit) {
			return nil, nil, errors.New("genesis accounts: the sum of the amounts is absurdly large")
		}
		accs = append(accs, authtypes.NewBaseAccountWithAddress(a.Address))
		if a.Amount.IsPositive() {
			balances = append(balances, banktypes.Balance{Address: addr, Coins: chain.Coins(a.Amount)})
		}
	}
	return authtypes.SanitizeGenesisAccounts(accs), banktypes.SanitizeGenesisBalances(balances), nil
}

// EVMChainID is the network's EIP-155 chain ID.
func EVMChainID(g *Genesis) (uint64, error) {
	state, err := appState(g)
	if err != nil {
		return 0, err
	}
	raw, ok := state[section]
	if !ok {
		return chain.DefaultEVMChainID, nil
	}
	var s settings
	if err := json.Unmarshal(raw, &s); err != nil {
		return 0, fmt.Errorf("app_state.%s: %w", section, err)
	}
	if s.EVMChainID == 0 {
		return 0, fmt.Errorf("app_state.%s.evm_chain_id is %s: it must be a positive number", section, strconv.Quote("0"))
	}
	return s.EVMChainID, nil
}

// Carry copies into g, an exported state, what the ledger keeps in a genesis file
// outside of the modules' state.
func Carry(g, from *Genesis) error {
	id, err := EVMChainID(from)
	if err != nil {
		return err
	}
	state, err := appState(g)
	if err != nil {
		return err
	}
	if state[section], err = json.Marshal(settings{id}); err != nil {
		return err
	}
	return setState(g, state)
}

func appState(g *Genesis) (map[string]json.RawMessage, error) {
	var state map[string]json.RawMessage
	if err := json.Unmarshal(g.AppState, &state); err != nil {
		return nil, fmt.Errorf("app_state is not an object of modules: %w", err)
	}
	return state, nil
}

func setState(g *Genesis, state map[string]json.RawMessage) error {
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	g.AppState = raw
	return nil
}
