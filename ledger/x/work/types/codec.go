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
	cdc.RegisterConcrete(Params{}, "cantus/x/work/Params", nil)
	legacy.RegisterAminoMsg(cdc, &MsgUpdateParams{}, "cantus/x/work/MsgUpdateParams")
	legacy.RegisterAminoMsg(cdc, &MsgRegisterOperator{}, "cantus/MsgRegisterOperator")
	legacy.RegisterAminoMsg(cdc, &MsgEnrollWorkers{}, "cantus/MsgEnrollWorkers")
	legacy.RegisterAminoMsg(cdc, &MsgUpdateWorker{}, "cantus/MsgUpdateWorker")
	legacy.RegisterAminoMsg(cdc, &MsgUnbondWorkers{}, "cantus/MsgUnbondWorkers")
	legacy.RegisterAminoMsg(cdc, &MsgRegisterGateway{}, "cantus/MsgRegisterGateway")
	legacy.RegisterAminoMsg(cdc, &MsgUpdateGateway{}, "cantus/MsgUpdateGateway")
	legacy.RegisterAminoMsg(cdc, &MsgUnbondGateway{}, "cantus/MsgUnbondGateway")
	legacy.RegisterAminoMsg(cdc, &MsgSetCells{}, "cantus/MsgSetCells")
	legacy.RegisterAminoMsg(cdc, &MsgTopUpBond{}, "cantus/MsgTopUpBond")
	legacy.RegisterAminoMsg(cdc, &MsgOpenJob{}, "cantus/MsgOpenJob")
	legacy.RegisterAminoMsg(cdc, &MsgTopUpJob{}, "cantus/MsgTopUpJob")
	legacy.RegisterAminoMsg(cdc, &MsgCloseJob{}, "cantus/MsgCloseJob")
	legacy.RegisterAminoMsg(cdc, &MsgFinishJob{}, "cantus/MsgFinishJob")
	legacy.RegisterAminoMsg(cdc, &MsgCommitEpoch{}, "cantus/MsgCommitEpoch")
	legacy.RegisterAminoMsg(cdc, &MsgOpenReceipts{}, "cantus/MsgOpenReceipts")
	legacy.RegisterAminoMsg(cdc, &MsgCommitVerdicts{}, "cantus/MsgCommitVerdicts")
	legacy.RegisterAminoMsg(cdc, &MsgRevealVerdicts{}, "cantus/MsgRevealVerdicts")
	legacy.RegisterAminoMsg(cdc, &MsgRevealPlants{}, "cantus/MsgRevealPlants")
	legacy.RegisterAminoMsg(cdc, &MsgClaim{}, "cantus/MsgClaim")
	legacy.RegisterAminoMsg(cdc, &MsgChallengeVoucher{}, "cantus/MsgChallengeVoucher")
	legacy.RegisterAminoMsg(cdc, &MsgAnswerChallenge{}, "cantus/MsgAnswerChallenge")
	legacy.RegisterAminoMsg(cdc, &MsgChallengeDuplicate{}, "cantus/MsgChallengeDuplicate")
	legacy.RegisterAminoMsg(cdc, &MsgOpenDispute{}, "cantus/MsgOpenDispute")
	legacy.RegisterAminoMsg(cdc, &MsgAnswerDispute{}, "cantus/MsgAnswerDispute")
	legacy.RegisterAminoMsg(cdc, &MsgDescend{}, "cantus/MsgDescend")
	legacy.RegisterAminoMsg(cdc, &MsgDecide{}, "cantus/MsgDecide")
	legacy.RegisterAminoMsg(cdc, &MsgContradict{}, "cantus/MsgContradict")
}

// RegisterInterfaces registers the messages with an interface registry.
func RegisterInterfaces(registry codectypes.InterfaceRegistry) {
	registry.RegisterImplementations((*sdk.Msg)(nil),
		&MsgUpdateParams{}, &MsgRegisterOperator{}, &MsgEnrollWorkers{}, &MsgUpdateWorker{},
		&MsgUnbondWorkers{}, &MsgRegisterGateway{}, &MsgUpdateGateway{}, &MsgUnbondGateway{},
		&MsgSetCells{}, &MsgTopUpBond{}, &MsgOpenJob{}, &MsgTopUpJob{}, &MsgCloseJob{}, &MsgFinishJob{},
		&MsgCommitEpoch{}, &MsgOpenReceipts{}, &MsgCommitVerdicts{}, &MsgRevealVerdicts{},
		&MsgRevealPlants{}, &MsgClaim{}, &MsgChallengeVoucher{}, &MsgAnswerChallenge{}, &MsgChallengeDuplicate{},
		&MsgOpenDispute{}, &MsgAnswerDispute{}, &MsgDescend{}, &MsgDecide{}, &MsgContradict{},
	)
	msgservice.RegisterMsgServiceDesc(registry, &_Msg_serviceDesc)
}
