package lineage_test

import (
	"testing"

	"cosmossdk.io/core/address"
	"github.com/cosmos/cosmos-sdk/codec"
	codectestutil "github.com/cosmos/cosmos-sdk/codec/testutil"
	"github.com/cosmos/cosmos-sdk/runtime"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	"github.com/cosmos/cosmos-sdk/testutil"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
	"github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/x/lineage"
	"github.com/cantus-network/cantus/ledger/x/lineage/keeper"
	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

func codecs(t *testing.T) (codec.Codec, *codec.LegacyAmino, address.Codec) {
	t.Helper()
	chain.Configure()
	registry := codectestutil.CodecOptions{AccAddressPrefix: chain.Bech32Prefix}.NewInterfaceRegistry()
	lineage.AppModule{}.RegisterInterfaces(registry)
	amino := codec.NewLegacyAmino()
	lineage.AppModule{}.RegisterLegacyAminoCodec(amino)
	return codec.NewProtoCodec(registry), amino, registry.SigningContext().AddressCodec()
}

var owner = sdk.AccAddress([]byte("an-account-of-owners"))

func messages() []sdk.Msg {
	d := artifact.Sum([]byte("x"))
	cid := artifact.CID(artifact.Raw, d)
	who := sdk.MustBech32ifyAddressBytes(chain.Bech32Prefix, owner)
	return []sdk.Msg{
		&types.MsgUpdateParams{Authority: who, Params: types.DefaultParams()},
		&types.MsgRegister{
			Owner: who, Cid: cid, Type: "dataset", StatementDigest: d[:], License: "MIT", Job: 3, RoyaltyBps: 5,
			Parents: []types.Parent{{Cid: artifact.CID(artifact.JSON, d), Role: "seeds", RoyaltyBps: 7}},
		},
		&types.MsgTransfer{Owner: who, Cid: cid, NewOwner: who},
		&types.MsgRevoke{Owner: who, Cid: cid, Reason: "why not"},
	}
}

func TestMessagesAreSignedByTheirSender(t *testing.T) {
	cdc, amino, _ := codecs(t)
	files, err := proto.MergedRegistry()
	require.NoError(t, err)
	require.NoError(t, msgservice.ValidateProtoAnnotations(files))
	amino.RegisterInterface((*sdk.Msg)(nil), nil)
	for _, m := range messages() {
		require.NoError(t, m.(sdk.HasValidateBasic).ValidateBasic())
		signers, _, err := cdc.GetMsgV1Signers(m)
		require.NoError(t, err)
		require.Equal(t, [][]byte{owner}, signers)

		// Amino JSON, as hardware wallets sign it.
		raw, err := amino.MarshalJSON(m)
		require.NoError(t, err)
		var back sdk.Msg
		require.NoError(t, amino.UnmarshalJSON(raw, &back))
		require.Equal(t, m, back)
	}
}

// Every method must have a command with help, or be left out on purpose.
func TestEveryMethodHasACommand(t *testing.T) {
	options := lineage.AppModule{}.AutoCLIOptions()
	for _, service := range []struct {
		name string
		rpcs map[string]string
	}{{options.Query.Service, map[string]string{}}, {options.Tx.Service, map[string]string{}}} {
		list := options.Query.RpcCommandOptions
		if service.name == options.Tx.Service {
			list = options.Tx.RpcCommandOptions
		}
		for _, o := range list {
			require.NotEmpty(t, o.Short, o.RpcMethod)
			service.rpcs[o.RpcMethod] = o.Use
		}
		d, err := proto.HybridResolver.FindDescriptorByName(protoreflect.FullName(service.name))
		require.NoError(t, err)
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		require.Len(t, service.rpcs, methods.Len())
		for i := range methods.Len() {
			m := methods.Get(i)
			require.Contains(t, service.rpcs, string(m.Name()))
			for _, o := range list {
				for _, arg := range o.PositionalArgs {
					if o.RpcMethod == string(m.Name()) {
						require.NotNil(t, m.Input().Fields().ByName(protoreflect.Name(arg.ProtoField)), "%s has no field %s", m.Name(), arg.ProtoField)
					}
				}
			}
		}
	}
}

func TestGenesis(t *testing.T) {
	cdc, _, addresses := codecs(t)
	key := storetypes.NewKVStoreKey(types.StoreKey)
	ctx := testutil.DefaultContext(key, storetypes.NewTransientStoreKey("transient"))
	authority, err := addresses.BytesToString(owner)
	require.NoError(t, err)
	k, err := keeper.NewKeeper(cdc, runtime.NewKVStoreService(key), authority)
	require.NoError(t, err)
	m := lineage.NewAppModule(k)
	require.NoError(t, m.ValidateGenesis(cdc, nil, m.DefaultGenesis(cdc)))
	require.Error(t, m.ValidateGenesis(cdc, nil, []byte(`{"params":{}}`)))
	require.Error(t, m.ValidateGenesis(cdc, nil, []byte(`{`)))

	m.InitGenesis(ctx, cdc, m.DefaultGenesis(cdc))
	_, err = keeper.NewMsgServer(k).Register(ctx, func() *types.MsgRegister {
		r := messages()[1].(*types.MsgRegister)
		r.Job, r.Parents = 0, nil
		return r
	}())
	require.NoError(t, err)
	exported := m.ExportGenesis(ctx, cdc)
	require.NoError(t, m.ValidateGenesis(cdc, nil, exported))
	other := testutil.DefaultContext(key, storetypes.NewTransientStoreKey("transient"))
	m.InitGenesis(other, cdc, exported)
	require.JSONEq(t, string(exported), string(m.ExportGenesis(other, cdc)))

	_, err = keeper.NewKeeper(cdc, runtime.NewKVStoreService(key), "nobody")
	require.Error(t, err)
}
