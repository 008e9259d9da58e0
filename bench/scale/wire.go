package main

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cantus-network/cantus/work"
)

// The ledger's messages as proto/cantus/work/v1/tx.proto has them, written by hand: with
// the generated types this program would link the whole ledger. Field numbers and types are
// those of that file; only the bytes' number is of interest here.

type message []byte

func (m message) number(field int, v uint64) message {
	if v == 0 {
		return m
	}
	return protowire.AppendVarint(protowire.AppendTag(m, protowire.Number(field), protowire.VarintType), v)
}

func (m message) bytes(field int, v []byte) message {
	if len(v) == 0 {
		return m
	}
	return protowire.AppendBytes(protowire.AppendTag(m, protowire.Number(field), protowire.BytesType), v)
}

func (m message) text(field int, v string) message { return m.bytes(field, []byte(v)) }

// account is an address of ours: cantus1 and 38 characters.
var account = "cantus1" + strings.Repeat("q", 38)

func proofMessage(p work.Proof) message {
	m := message(nil).number(1, p.Index)
	for _, s := range p.Siblings {
		m = m.bytes(2, message(nil).bytes(1, s.Hash[:]).number(2, s.Sum))
	}
	return m
}

func commitEpoch(job, number uint64, receipts, pay work.Root) message {
	var digest [32]byte
	digest[0] = 1
	return message(nil).text(1, account).number(2, job).number(3, number).bytes(4, receipts.Hash[:]).number(5, receipts.Leaves).
		number(6, receipts.Sum).bytes(7, pay.Hash[:]).number(8, pay.Leaves).number(9, pay.Sum).
		number(11, receipts.Leaves/100).number(12, receipts.Sum/100).bytes(13, digest[:])
}

func payProof(w work.PublicKey, units uint64, p work.Proof) message {
	return message(nil).bytes(1, w[:]).number(2, units).bytes(3, proofMessage(p))
}

// sizeOfPayProof is the length of payProof, without making it.
func sizeOfPayProof(units uint64, p work.Proof) int {
	number := func(v uint64) int {
		if v == 0 {
			return 0
		}
		return 1 + protowire.SizeVarint(v)
	}
	proof := number(p.Index)
	for _, s := range p.Siblings {
		proof += 1 + protowire.SizeBytes(1+protowire.SizeBytes(len(s.Hash))+number(s.Sum))
	}
	if proof > 0 {
		proof = 1 + protowire.SizeBytes(proof)
	}
	return 1 + protowire.SizeBytes(len(work.PublicKey{})) + number(units) + proof
}

// sampleBytes is what one audited sample adds to the ledger's blocks: its opening, and for
// each auditor a commitment and a reveal.
func sampleBytes(receipt []byte, p work.Proof, auditors int) int {
	opening := message(nil).number(1, 31).bytes(2, receipt).bytes(3, proofMessage(p))
	digest, signature := make([]byte, 32), make([]byte, 64)
	commitment := message(nil).number(1, 31).bytes(2, digest).bytes(3, digest).bytes(4, signature)
	reveal := message(nil).number(1, 31).bytes(2, digest).number(3, 1).bytes(4, digest).bytes(5, digest)
	field := func(m message) int { return len(message(nil).bytes(4, m)) }
	return field(opening) + auditors*(field(commitment)+field(reveal))
}

// transaction is a Cosmos transaction with one message and one signature around it.
func transaction(typeURL string, m message) message {
	body := message(nil).bytes(1, message(nil).text(1, "/cantus.work.v1."+typeURL).bytes(2, m))
	key := message(nil).text(1, "/cosmos.evm.crypto.v1.ethsecp256k1.PubKey").bytes(2, message(nil).bytes(1, make([]byte, 33)))
	signer := message(nil).bytes(1, key).bytes(2, message(nil).bytes(1, message(nil).number(1, 1))).number(3, 100_000)
	fee := message(nil).bytes(1, message(nil).text(1, "anote").text(2, "150000000000000")).number(2, 150_000)
	auth := message(nil).bytes(1, signer).bytes(2, fee)
	return message(nil).bytes(1, body).bytes(2, auth).bytes(3, make([]byte, 65))
}

// What the ledger keeps, as types.proto has it, keys and the tree's own nodes not counted.

func workerRecord() int {
	return len(message(nil).bytes(1, make([]byte, 32)).text(2, account).text(3, "crawl/1").text(4, "100000000000000000000").number(5, 1).
		text(6, "AS64500").text(7, "eu").number(8, 1<<24).number(10, 1000).number(12, 1000).number(14, 1<<24))
}

func claimedRecord(units uint64) int {
	return len(message(nil).number(1, 1<<14).bytes(2, make([]byte, 32)).number(3, units))
}

func epochRecord(samples, auditors, receipt int) int {
	m := message(nil).number(1, 1<<14).number(2, 1<<14).bytes(3, make([]byte, 32)).number(4, 1<<23).number(5, 1<<23).bytes(6, make([]byte, 32)).
		number(7, 1<<16).number(8, 1<<34).number(9, 1<<24).bytes(10, make([]byte, 32)).number(11, 5).number(13, 1<<24).number(14, 1<<24).text(15, "agreed").bytes(19, make([]byte, 32))
	slot := message(nil).bytes(1, make([]byte, 32)).bytes(2, make([]byte, 32)).number(3, 1).bytes(4, make([]byte, 32)).number(5, 1)
	for range samples {
		s := message(nil).number(1, 1<<23).number(2, 4).bytes(3, make([]byte, receipt)).number(4, 1<<22).number(6, 1<<24)
		for range auditors {
			s = s.bytes(5, slot)
		}
		m = m.bytes(12, s)
	}
	return len(m)
}
