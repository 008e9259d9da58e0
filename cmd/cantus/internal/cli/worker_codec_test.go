package cli_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cosmos/cosmos-sdk/crypto/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdktx "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authsigning "github.com/cosmos/cosmos-sdk/x/auth/signing"
	"github.com/cosmos/cosmos-sdk/x/authz"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/encoding"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// What the worker encodes by hand is what the ledger's own codec writes, byte by byte, and
// the ledger's own keys find its signature good.
func TestWorkersTransactionsAreTheLedgers(t *testing.T) {
	enc := encoding.New(chain.DefaultEVMChainID)
	path := filepath.Join(t.TempDir(), "account.key")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("a1"), 32), 0o600))
	account, err := witness.LoadAccount(path)
	require.NoError(t, err)
	me, err := sdk.AccAddressFromBech32(account.Address())
	require.NoError(t, err)
	operator := sdk.AccAddress(bytes.Repeat([]byte{7}, 20))
	auditor := work.PublicKey{1, 2, 3}
	commitment, evidence := artifact.Sum([]byte("c")), artifact.Sum([]byte("e"))
	signature := bytes.Repeat([]byte{9}, 64)
	salt := [work.SaltSize]byte{5}
	proof := work.Proof{Index: 3, Siblings: []work.Node{{Hash: work.Hash(commitment), Sum: 0}, {Hash: work.Hash(evidence), Sum: 1 << 40}}}

	challenge := &worktypes.MsgChallengeVoucher{Challenger: operator.String(), Voucher: []byte{1, 2, 3}}
	exec := authz.NewMsgExec(me, []sdk.Msg{challenge})
	open := authz.NewMsgExec(me, []sdk.Msg{&worktypes.MsgOpenDispute{Challenger: operator.String(), Job: 4, Epoch: 5, Sample: 300,
		Task: []byte("task"), Result: []byte("result"), Model: []byte("head"), Root: commitment[:]}})
	for name, c := range map[string]struct {
		hand witness.Msg
		want sdk.Msg
	}{
		"challenge": {witness.Exec(account.Address(), witness.ChallengeVoucher(operator.String(), []byte{1, 2, 3})), &exec},
		"commit": {witness.CommitVerdicts(account.Address(), 4, 5,
			witness.VerdictCommitment{Sample: 0, Auditor: auditor, Commitment: commitment, Signature: signature},
			witness.VerdictCommitment{Sample: 300, Auditor: auditor, Commitment: commitment, Signature: signature}),
			&worktypes.MsgCommitVerdicts{Sender: account.Address(), Job: 4, Epoch: 5, Verdicts: []worktypes.VerdictCommitment{
				{Sample: 0, Auditor: auditor[:], Commitment: commitment[:], Signature: signature},
				{Sample: 300, Auditor: auditor[:], Commitment: commitment[:], Signature: signature}}}},
		"reveal": {witness.RevealVerdicts(account.Address(), 1<<40, 1,
			witness.VerdictReveal{Sample: 2, Auditor: auditor, Outcome: work.Unsure, Evidence: evidence, Salt: salt}),
			&worktypes.MsgRevealVerdicts{Sender: account.Address(), Job: 1 << 40, Epoch: 1, Verdicts: []worktypes.VerdictReveal{
				{Sample: 2, Auditor: auditor[:], Outcome: worktypes.Outcome_OUTCOME_UNSURE, Evidence: evidence[:], Salt: salt[:]}}}},
		"claim": {witness.Claim(account.Address(), 1, 2, witness.PayProof{Worker: auditor, Units: 77, Proof: proof},
			witness.PayProof{Worker: auditor}),
			&worktypes.MsgClaim{Sender: account.Address(), Job: 1, Epoch: 2, Claims: []worktypes.PayProof{
				{Worker: auditor[:], Units: 77, Proof: worktypes.ProofOf(proof)}, {Worker: auditor[:]}}}},
		"open": {witness.Exec(account.Address(), witness.OpenDispute(operator.String(), witness.DisputedSample{Job: 4, Epoch: 5, Sample: 300,
			Task: []byte("task"), Result: []byte("result"), Head: []byte("head"), Root: artifact.Digest(commitment)})), &open},
		"open the first": {witness.OpenDispute(account.Address(), witness.DisputedSample{Job: 1, Epoch: 1, Task: []byte("t"), Root: artifact.Digest(commitment)}),
			&worktypes.MsgOpenDispute{Challenger: account.Address(), Job: 1, Epoch: 1, Task: []byte("t"), Root: commitment[:]}},
		"answer": {witness.AnswerDispute(account.Address(), 7, commitment, signature),
			&worktypes.MsgAnswerDispute{Sender: account.Address(), Dispute: 7, Root: commitment[:], Signature: signature}},
		"descend": {witness.Descend(account.Address(), 7, 3, 1<<40, []artifact.Digest{commitment, evidence}),
			&worktypes.MsgDescend{Sender: account.Address(), Dispute: 7, Level: 3, Node: 1 << 40, Children: [][]byte{commitment[:], evidence[:]}}},
		"descend to the first": {witness.Descend(account.Address(), 7, 1, 0, []artifact.Digest{evidence}),
			&worktypes.MsgDescend{Sender: account.Address(), Dispute: 7, Level: 1, Children: [][]byte{evidence[:]}}},
		"decide": {witness.Decide(account.Address(), 7, []byte("opening")),
			&worktypes.MsgDecide{Sender: account.Address(), Dispute: 7, Opening: []byte("opening")}},
		"contradict": {witness.Contradict(account.Address(), 7, 12, []byte("opening")),
			&worktypes.MsgContradict{Sender: account.Address(), Dispute: 7, Position: 12, Opening: []byte("opening")}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, sdk.MsgTypeURL(c.want), c.hand.Type)
			raw := account.Sign("test-1", 11, 12, 130_000, "1234567", operator.String(), 900, c.hand)

			builder := enc.Tx.NewTxBuilder()
			require.NoError(t, builder.SetMsgs(c.want))
			builder.SetGasLimit(130_000)
			builder.SetFeeAmount(sdk.NewCoins(sdk.NewInt64Coin(chain.BaseDenom, 1234567)))
			builder.SetFeeGranter(operator)
			builder.SetTimeoutHeight(900)
			decoded, err := enc.Tx.TxDecoder()(raw)
			require.NoError(t, err)
			signers, err := decoded.(authsigning.SigVerifiableTx).GetPubKeys()
			require.NoError(t, err)
			require.Len(t, signers, 1)
			var public types.PubKey = signers[0]
			require.Equal(t, me.Bytes(), public.Address().Bytes(), "the address is the key's")
			sigs, err := decoded.(authsigning.SigVerifiableTx).GetSignaturesV2()
			require.NoError(t, err)
			single := sigs[0].Data.(*signing.SingleSignatureData)
			require.NoError(t, builder.SetSignatures(signing.SignatureV2{PubKey: public, Sequence: 12,
				Data: &signing.SingleSignatureData{SignMode: signing.SignMode_SIGN_MODE_DIRECT, Signature: single.Signature}}))
			want, err := enc.Tx.TxEncoder()(builder.GetTx())
			require.NoError(t, err)
			require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(raw))

			var parts sdktx.TxRaw
			require.NoError(t, parts.Unmarshal(raw))
			doc := sdktx.SignDoc{BodyBytes: parts.BodyBytes, AuthInfoBytes: parts.AuthInfoBytes, ChainId: "test-1", AccountNumber: 11}
			signed, err := doc.Marshal()
			require.NoError(t, err)
			require.True(t, public.VerifySignature(signed, single.Signature))
			doc.AccountNumber++
			other, err := doc.Marshal()
			require.NoError(t, err)
			require.False(t, public.VerifySignature(other, single.Signature))
		})
	}
}
