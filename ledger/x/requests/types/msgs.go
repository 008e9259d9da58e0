package types

import (
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/exact/speaker"
)

// Every message checks what it can without the ledger's state. Addresses are read with the
// application's codec by the keeper.
var (
	_ sdk.HasValidateBasic = (*MsgUpdateParams)(nil)
	_ sdk.HasValidateBasic = (*MsgOffer)(nil)
	_ sdk.HasValidateBasic = (*MsgWithdrawOffer)(nil)
)

// ValidateBasic checks the new parameters.
func (m *MsgUpdateParams) ValidateBasic() error { return m.Params.Validate() }

// ValidateBasic checks the speaker and the terms.
func (m *MsgOffer) ValidateBasic() error {
	if err := CheckSpeaker(m.Speaker); err != nil {
		return err
	}
	id := speaker.IDOf(m.Speaker)
	return m.Terms.CheckFor(id[:])
}

// ValidateBasic checks the speaker's ID.
func (m *MsgWithdrawOffer) ValidateBasic() error { return CheckID(m.Speaker) }
