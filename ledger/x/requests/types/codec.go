package types

import (
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/legacy"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
)

// RegisterLegacyAminoCodec names the messages for hardware wallets that sign amino JSON.
func RegisterLegacyAminoCodec(cdc *codec.LegacyAmino) {
	cdc.RegisterConcrete(Params{}, "cantus/x/requests/Params", nil)
	legacy.RegisterAminoMsg(cdc, &MsgUpdateParams{}, "cantus/x/requests/MsgUpdateParams")
	legacy.RegisterAminoMsg(cdc, &MsgOffer{}, "cantus/MsgOffer")
	legacy.RegisterAminoMsg(cdc, &MsgWithdrawOffer{}, "cantus/MsgWithdrawOffer")
}

// RegisterInterfaces registers the messages with an interface registry.
func RegisterInterfaces(registry codectypes.InterfaceRegistry) {
	registry.RegisterImplementations((*sdk.Msg)(nil), &MsgUpdateParams{}, &MsgOffer{}, &MsgWithdrawOffer{})
	msgservice.RegisterMsgServiceDesc(registry, &_Msg_serviceDesc)
}
