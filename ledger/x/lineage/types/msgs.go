package types

import (
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/lineage/spdx"
)

// Every message checks what it can without the ledger's state. Addresses are read with
// the application's codec by the keeper.
var (
	_ sdk.HasValidateBasic = (*MsgUpdateParams)(nil)
	_ sdk.HasValidateBasic = (*MsgRegister)(nil)
	_ sdk.HasValidateBasic = (*MsgTransfer)(nil)
	_ sdk.HasValidateBasic = (*MsgRevoke)(nil)
)

// ValidateBasic checks the new parameters.
func (m *MsgUpdateParams) ValidateBasic() error { return m.Params.Validate() }

// ValidateBasic checks everything but that the parents and the job exist.
func (m *MsgRegister) ValidateBasic() error {
	if err := CheckCID(m.Cid); err != nil {
		return err
	}
	if err := artifact.CheckType(m.Type); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if err := CheckDigest("statement digest", m.StatementDigest); err != nil {
		return err
	}
	if err := CheckParents(m.Cid, m.Parents); err != nil {
		return err
	}
	if err := spdx.Check(m.License); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if m.RoyaltyBps > BasisPoints {
		return ErrInvalid.Wrapf("a royalty of %d bps, more than everything", m.RoyaltyBps)
	}
	return nil
}

// ValidateBasic checks the CID.
func (m *MsgTransfer) ValidateBasic() error { return CheckCID(m.Cid) }

// ValidateBasic checks the CID and the reason.
func (m *MsgRevoke) ValidateBasic() error {
	if err := CheckCID(m.Cid); err != nil {
		return err
	}
	return CheckReason(m.Reason)
}
