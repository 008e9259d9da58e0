package witness

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Msg is a message as a transaction carries it: its type, and its protobuf encoding.
type Msg struct {
	Type  string // "/cantus.work.v1.MsgClaim"
	Value []byte
}

// VerdictCommitment is an auditor's sealed verdict on a sample.
type VerdictCommitment struct {
	Sample     uint32
	Auditor    work.PublicKey
	Commitment artifact.Digest
	Signature  []byte
}

// VerdictReveal opens it.
type VerdictReveal struct {
	Sample   uint32
	Auditor  work.PublicKey
	Outcome  work.AuditOutcome
	Evidence artifact.Digest
	Salt     [work.SaltSize]byte
	Score    int32
}

// PayProof shows a worker's cumulative units in an epoch's pay tree.
type PayProof struct {
	Worker work.PublicKey
	Units  uint64
	Proof  work.Proof
}

// ChallengeVoucher says that a gateway has not committed what it promised.
func ChallengeVoucher(challenger string, voucher []byte) Msg {
	b := text(nil, 1, challenger)
	return Msg{"/cantus.work.v1.MsgChallengeVoucher", blob(b, 2, voucher)}
}

// CommitVerdicts carries sealed verdicts on one epoch's samples.
func CommitVerdicts(sender string, job work.JobID, epoch uint64, verdicts ...VerdictCommitment) Msg {
	b := numeral(numeral(text(nil, 1, sender), 2, uint64(job)), 3, epoch)
	for _, v := range verdicts {
		m := numeral(nil, 1, uint64(v.Sample))
		m = blob(m, 2, v.Auditor[:])
		m = blob(m, 3, v.Commitment[:])
		b = part(b, 4, blob(m, 4, v.Signature))
	}
	return Msg{"/cantus.work.v1.MsgCommitVerdicts", b}
}

// RevealVerdicts opens verdicts on one epoch's samples.
func RevealVerdicts(sender string, job work.JobID, epoch uint64, verdicts ...VerdictReveal) Msg {
	b := numeral(numeral(text(nil, 1, sender), 2, uint64(job)), 3, epoch)
	for _, v := range verdicts {
		m := numeral(nil, 1, uint64(v.Sample))
		m = blob(m, 2, v.Auditor[:])
		m = numeral(m, 3, uint64(v.Outcome))
		m = blob(m, 4, v.Evidence[:])
		m = blob(m, 5, v.Salt[:])
		b = part(b, 4, numeral(m, 6, protowire.EncodeZigZag(int64(v.Score))))
	}
	return Msg{"/cantus.work.v1.MsgRevealVerdicts", b}
}

// Claim has workers' operators paid what a settled epoch owes them.
func Claim(sender string, job work.JobID, epoch uint64, claims ...PayProof) Msg {
	b := numeral(numeral(text(nil, 1, sender), 2, uint64(job)), 3, epoch)
	for _, c := range claims {
		m := numeral(blob(nil, 1, c.Worker[:]), 2, c.Units)
		p := numeral(nil, 1, c.Proof.Index)
		for _, s := range c.Proof.Siblings {
			p = part(p, 2, numeral(blob(nil, 1, s.Hash[:]), 2, s.Sum))
		}
		b = part(b, 4, part(m, 3, p))
	}
	return Msg{"/cantus.work.v1.MsgClaim", b}
}

// DisputedSample names a sample of an epoch and what its receipt is over.
type DisputedSample struct {
	Job    work.JobID
	Epoch  uint64
	Sample uint32
	Task   []byte // the bodies
	Result []byte
	Head   []byte          // what the kind's referee needs to see of the model
	Root   artifact.Digest // of the challenger's trace
}

// OpenDispute claims that a sample's receipt is false.
func OpenDispute(challenger string, s DisputedSample) Msg {
	b := numeral(numeral(text(nil, 1, challenger), 2, uint64(s.Job)), 3, s.Epoch)
	b = part(numeral(b, 4, uint64(s.Sample)), 6, nil) // an empty proof
	b = blob(blob(blob(b, 7, s.Task), 8, s.Result), 9, s.Head)
	return Msg{"/cantus.work.v1.MsgOpenDispute", blob(b, 10, s.Root[:])}
}

// AnswerDispute names the trace of the worker whose receipt is disputed. The signature is
// that of work.SignTrace.
func AnswerDispute(sender string, dispute uint64, root artifact.Digest, signature []byte) Msg {
	b := numeral(text(nil, 1, sender), 2, dispute)
	return Msg{"/cantus.work.v1.MsgAnswerDispute", blob(blob(b, 3, root[:]), 4, signature)}
}

// Descend shows the children of a party's node.
func Descend(sender string, dispute uint64, level uint32, node uint64, children []artifact.Digest) Msg {
	b := numeral(numeral(numeral(text(nil, 1, sender), 2, dispute), 3, uint64(level)), 4, node)
	for _, c := range children {
		b = part(b, 5, c[:])
	}
	return Msg{"/cantus.work.v1.MsgDescend", b}
}

// Decide opens the step at which the parties are.
func Decide(sender string, dispute uint64, opening []byte) Msg {
	return Msg{"/cantus.work.v1.MsgDecide", blob(numeral(text(nil, 1, sender), 2, dispute), 3, opening)}
}

// Contradict shows that the worker's own trace gives another result than its receipt.
func Contradict(sender string, dispute, position uint64, opening []byte) Msg {
	b := numeral(numeral(text(nil, 1, sender), 2, dispute), 3, position)
	return Msg{"/cantus.work.v1.MsgContradict", blob(b, 4, opening)}
}

// Exec does messages of others, who have granted that.
func Exec(grantee string, msgs ...Msg) Msg {
	b := text(nil, 1, grantee)
	for _, m := range msgs {
		b = part(b, 2, m.packed())
	}
	return Msg{"/cosmos.authz.v1beta1.MsgExec", b}
}

// packed is the message in a google.protobuf.Any.
func (m Msg) packed() []byte { return blob(text(nil, 1, m.Type), 2, m.Value) }

// Fields of protobuf in their proto3 form: what is empty or zero is left out, except parts
// of a message, whose presence counts.

func blob(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return part(b, field, v)
}

func part(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func text(b []byte, field protowire.Number, v string) []byte { return blob(b, field, []byte(v)) }

func numeral(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// body is what a transaction says.
func body(msgs []Msg, timeoutHeight int64) []byte {
	var b []byte
	for _, m := range msgs {
		b = part(b, 1, m.packed())
	}
	return numeral(b, 3, uint64(timeoutHeight))
}

// payment is who pays how much for a transaction.
type payment struct {
	amount  string // anote
	gas     uint64
	granter string // empty: the sender
}

const (
	denomination = "anote"
	signDirect   = 1
	publicKeyURL = "/cosmos.evm.crypto.v1.ethsecp256k1.PubKey"
)

// authInfo is who signs and who pays.
func authInfo(public []byte, sequence uint64, p payment) []byte {
	key := Msg{publicKeyURL, blob(nil, 1, public)}.packed()
	mode := part(nil, 1, numeral(nil, 1, signDirect))
	signer := numeral(part(part(nil, 1, key), 2, mode), 3, sequence)
	var fee []byte
	if p.amount != "" && p.amount != "0" {
		fee = part(fee, 1, text(text(nil, 1, denomination), 2, p.amount))
	}
	fee = text(numeral(fee, 2, p.gas), 4, p.granter)
	return part(part(nil, 1, signer), 2, fee)
}

// signDoc is what is signed.
func signDoc(body, auth []byte, chain string, account uint64) []byte {
	return numeral(text(blob(blob(nil, 1, body), 2, auth), 3, chain), 4, account)
}

// rawTx is a signed transaction.
func rawTx(body, auth, signature []byte) []byte {
	return part(blob(blob(nil, 1, body), 2, auth), 3, signature)
}
