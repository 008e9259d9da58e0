package genesis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"

	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/client/tx"
	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	"github.com/cosmos/cosmos-sdk/crypto/keys/ed25519"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
)

// stakeGas is the gas of a genesis stake: ample, and charged like any other.
const stakeGas = 300_000

// Stake is a validator's wish to vote from the first block.
type Stake struct {
	Operator     string            // the name of the operator's key in the keyring
	ConsensusKey cmted25519.PubKey // what the node signs votes with
	Amount       math.Int
	Moniker      string // empty: the operator's name
	// Address is where other nodes find this one: nodeID@host:port. It goes into the
	// transaction's memo, as is the custom.
	Address string
}

// SignStake makes the transaction that stakes s on the network of g, signed with
// the operator's key. A coordinator gathers these and passes each to AddStake.
func SignStake(ctx context.Context, g *Genesis, keys keyring.Keyring, s Stake) (json.RawMessage, error) {
	fail := func(err error) (json.RawMessage, error) {
		return nil, fmt.Errorf("sign the genesis stake of %q: %w", s.Operator, err)
	}
	id, err := EVMChainID(g)
	if err != nil {
		return fail(err)
	}
	enc := encoding.New(id)
	record, err := keys.Key(s.Operator)
	if err != nil {
		return fail(fmt.Errorf("no such key in the keyring: %w", err))
	}
	addr, err := record.GetAddress()
	if err != nil {
		return fail(err)
	}
	if s.Amount.IsNil() || s.Amount.LT(chain.Notes(1)) {
		return fail(fmt.Errorf("the stake must be at least %s", chain.FormatAmount(chain.Notes(1))))
	}
	if s.Moniker == "" {
		s.Moniker = s.Operator
	}
	msg, err := stakingtypes.NewMsgCreateValidator(
		sdk.ValAddress(addr).String(), &ed25519.PubKey{Key: s.ConsensusKey.Bytes()},
		sdk.NewCoin(chain.BaseDenom, s.Amount),
		stakingtypes.NewDescription(s.Moniker, "", "", "", ""),
		stakingtypes.NewCommissionRates(math.LegacyNewDecWithPrec(5, 2), math.LegacyNewDecWithPrec(20, 2), math.LegacyNewDecWithPrec(1, 2)),
		math.OneInt())
	if err != nil {
		return fail(err)
	}
	factory := tx.Factory{}.
		WithTxConfig(enc.Tx).WithKeybase(keys).WithChainID(g.ChainID).
		WithSignMode(signing.SignMode_SIGN_MODE_DIRECT).
		WithMemo(s.Address).WithGas(stakeGas).
		WithFees(chain.Coins(math.NewInt(basePrice * stakeGas)).String())
	builder, err := factory.BuildUnsignedTx(msg)
	if err != nil {
		return fail(err)
	}
	// A genesis transaction is number 0 of account 0, whoever signs it.
	if err := tx.Sign(ctx, factory, s.Operator, builder, true); err != nil {
		return fail(err)
	}
	raw, err := enc.Tx.TxJSONEncoder()(builder.GetTx())
	if err != nil {
		return fail(err)
	}
	return raw, nil
}

// AddStake puts a validator's signed stake into g. The operator must have an
// account in g that can pay it.
func AddStake(g *Genesis, signed json.RawMessage) error {
	id, err := EVMChainID(g)
	if err != nil {
		return err
	}
	enc := encoding.New(id)
	decoded, err := enc.Tx.TxJSONDecoder()(signed)
	if err != nil {
		return fmt.Errorf("genesis stake: not a transaction: %w", err)
	}
	msgs := decoded.GetMsgs()
	if len(msgs) != 1 {
		return fmt.Errorf("genesis stake: it has %d messages instead of one", len(msgs))
	}
	msg, ok := msgs[0].(*stakingtypes.MsgCreateValidator)
	if !ok {
		return fmt.Errorf("genesis stake: it holds a %s instead of a MsgCreateValidator", sdk.MsgTypeURL(msgs[0]))
	}
	val, err := sdk.ValAddressFromBech32(msg.ValidatorAddress)
	if err != nil {
		return fmt.Errorf("genesis stake: the validator's address: %w", err)
	}
	operator := sdk.AccAddress(val).String()
	if msg.Pubkey == nil || msg.Description.Moniker == "" {
		return fmt.Errorf("genesis stake of %s: the voting key or the moniker is missing", operator)
	}

	state, err := appState(g)
	if err != nil {
		return err
	}
	var bank banktypes.GenesisState
	if err := enc.Codec.UnmarshalJSON(state[banktypes.ModuleName], &bank); err != nil {
		return fmt.Errorf("app_state.bank: %w", err)
	}
	need := msg.Value.Amount.Add(math.NewInt(basePrice * stakeGas))
	if i := slices.IndexFunc(bank.Balances, func(b banktypes.Balance) bool { return b.Address == operator }); i < 0 || bank.Balances[i].Coins.AmountOf(chain.BaseDenom).LT(need) {
		return fmt.Errorf("genesis stake of %s: its account in the genesis file cannot pay %s and the fee", operator, chain.FormatAmount(msg.Value.Amount))
	}
	var gu genutiltypes.GenesisState
	if err := enc.Codec.UnmarshalJSON(state[genutiltypes.ModuleName], &gu); err != nil {
		return fmt.Errorf("app_state.genutil: %w", err)
	}
	for _, old := range gu.GenTxs {
		tx, err := enc.Tx.TxJSONDecoder()(old)
		if err != nil {
			return fmt.Errorf("app_state.genutil: a stake already in the file is no transaction: %w", err)
		}
		for _, m := range tx.GetMsgs() {
			if m, ok := m.(*stakingtypes.MsgCreateValidator); ok && (m.ValidatorAddress == msg.ValidatorAddress || m.Pubkey.Equal(msg.Pubkey)) {
				return fmt.Errorf("genesis stake of %s: this validator is already in the genesis file", operator)
			}
		}
	}
	gu.GenTxs = append(gu.GenTxs, signed)
	if state[genutiltypes.ModuleName], err = enc.Codec.MarshalJSON(&gu); err != nil {
		return err
	}
	return setState(g, state)
}

// Holds is what an account has in g, in the base denomination.
func Holds(g *Genesis, addr sdk.AccAddress) (math.Int, error) {
	state, err := appState(g)
	if err != nil {
		return math.Int{}, err
	}
	enc := encoding.New(chain.DefaultEVMChainID)
	var bank banktypes.GenesisState
	if err := enc.Codec.UnmarshalJSON(state[banktypes.ModuleName], &bank); err != nil {
		return math.Int{}, fmt.Errorf("app_state.bank: %w", err)
	}
	for _, b := range bank.Balances {
		if b.Address == addr.String() {
			return b.Coins.AmountOf(chain.BaseDenom), nil
		}
	}
	return math.ZeroInt(), nil
}
