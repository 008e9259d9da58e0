package requests_test

import (
	"encoding/json"
	"testing"

	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
	"github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	requestsmodule "github.com/cantus-network/cantus/ledger/x/requests"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// The command line names methods and fields that exist, and leaves none out by accident.
func TestAutoCLINamesWhatIsThere(t *testing.T) {
	files, err := proto.MergedRegistry()
	require.NoError(t, err)
	require.NoError(t, msgservice.ValidateProtoAnnotations(files))
	o := requestsmodule.NewAppModule(nil).AutoCLIOptions()
	for _, s := range []*autocliv1.ServiceCommandDescriptor{o.Query, o.Tx} {
		d, err := files.FindDescriptorByName(protoreflect.FullName(s.Service))
		require.NoError(t, err)
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		described := map[string]bool{}
		for _, c := range s.RpcCommandOptions {
			m := methods.ByName(protoreflect.Name(c.RpcMethod))
			require.NotNil(t, m, c.RpcMethod)
			described[c.RpcMethod] = true
			require.True(t, c.Skip || c.Short != "", c.RpcMethod)
			for _, a := range c.PositionalArgs {
				require.NotNil(t, m.Input().Fields().ByName(protoreflect.Name(a.ProtoField)), "%s.%s", c.RpcMethod, a.ProtoField)
			}
		}
		require.Len(t, described, methods.Len())
	}
}

func TestModuleBasics(t *testing.T) {
	m := requestsmodule.NewAppModule(nil)
	registry := codectypes.NewInterfaceRegistry()
	m.RegisterInterfaces(registry)
	cdc := codec.NewProtoCodec(registry)
	require.NoError(t, m.ValidateGenesis(cdc, nil, m.DefaultGenesis(cdc)))
	require.Error(t, m.ValidateGenesis(cdc, nil, json.RawMessage(`{"params":{}}`)))
	require.Error(t, m.ValidateGenesis(cdc, nil, json.RawMessage(`{"nonsense":1}`)))

	amino := codec.NewLegacyAmino()
	m.RegisterLegacyAminoCodec(amino)
	p := types.DefaultParams()
	_, err := amino.MarshalJSON(&types.MsgUpdateParams{Authority: "a", Params: p})
	require.NoError(t, err)
}
