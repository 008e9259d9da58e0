package work

import (
	"crypto/rand"
	"crypto/sha512"
	"sync"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// A signature verifies by the rule of ZIP 215 and by no other: S is below the group's
// order, R and the key decode to points of the curve, in whatever spelling, and
//
//	[8][S]B = [8]R + [8][k]A.
//
// RFC 8032 leaves open what becomes of points with a small-order part or another
// spelling; implementations differ, and crypto/ed25519 checks the equation without the
// factor 8, which many signatures at once can't be checked for. Under ZIP 215 checking one
// and checking many always agree, so nothing passes at a gateway that the ledger refuses.
// All signatures that honest keys make pass either way.
var zip215 = &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215}

// signed is a message as it was signed, with its signature.
type signed struct{ msg, sig []byte }

func verifyOne(k PublicKey, s signed) bool {
	return len(s.sig) == ed25519.SignatureSize && ed25519.VerifyWithOptions(k[:], s.msg, s.sig, zip215)
}

// minBatch is from how many signatures on it pays to check them together.
const minBatch = 4

// verifyAll checks signatures of one key together: true means that verifyOne is true for
// each of them. One that nobody could make by chance does not slip through, for each is
// weighed with a random number of 128 bits that its maker does not know. Since all are
// of one key, the work is one point for each signature instead of two.
func verifyAll(k PublicKey, list []signed) bool {
	n := len(list)
	var key curve.CompressedEdwardsY
	copy(key[:], k[:])
	points := make([]curve.EdwardsPoint, n+1)
	scalars := make([]scalar.Scalar, n+2)
	if _, err := points[n].SetCompressedY(&key); err != nil {
		return false
	}
	weights := make([]byte, 16*n)
	rand.Read(weights) // never fails
	sumS, sumK := &scalars[n+1], &scalars[n]
	var hash [sha512.Size]byte
	var s, h, t scalar.Scalar
	var r curve.CompressedEdwardsY
	buf := make([]byte, 0, 1024)
	for i, x := range list {
		if len(x.sig) != ed25519.SignatureSize || !scalar.ScMinimalVartime(x.sig[32:]) {
			return false
		}
		copy(r[:], x.sig[:32])
		if _, err := points[i].SetCompressedY(&r); err != nil {
			return false
		}
		buf = append(append(append(buf[:0], x.sig[:32]...), k[:]...), x.msg...)
		hash = sha512.Sum512(buf)
		var z [scalar.ScalarSize]byte
		copy(z[:], weights[16*i:16*i+16])
		_, err1 := scalars[i].SetBytesModOrder(z[:])
		_, err2 := s.SetBytesModOrder(x.sig[32:])
		_, err3 := h.SetBytesModOrderWide(hash[:])
		if err1 != nil || err2 != nil || err3 != nil { // the lengths are right
			return false
		}
		sumS.Add(sumS, t.Mul(&scalars[i], &s))
		sumK.Add(sumK, t.Mul(&scalars[i], &h))
	}
	sumS.Neg(sumS)
	ps := make([]*curve.EdwardsPoint, n+2)
	ss := make([]*scalar.Scalar, n+2)
	for i := range n + 1 {
		ps[i], ss[i] = &points[i], &scalars[i]
	}
	ps[n+1], ss[n+1] = curve.ED25519_BASEPOINT_POINT, sumS
	var sum curve.EdwardsPoint
	return sum.MultiscalarMulVartime(ss, ps).IsSmallOrder() // [8]sum is the neutral element
}

// Verifier checks many receipts of the same workers: those of one worker at once, with
// what can be computed from a key beforehand kept for the keys seen last. It finds what
// SignedReceipt.Verify finds. It is safe for concurrent use.
type Verifier struct {
	limit int

	mu         sync.Mutex
	young, old map[PublicKey]*ed25519.ExpandedPublicKey
}

// NewVerifier makes a Verifier that keeps up to about so many keys, of two kilobytes each.
func NewVerifier(keys int) *Verifier { return &Verifier{limit: max(1, keys/2)} }

// Receipts checks receipts, and returns an error for each that does not hold in its place.
// encoded are the receipts' canonical encodings where these held.
func (v *Verifier) Receipts(receipts []*SignedReceipt) (encoded [][]byte, errs []error) {
	encoded, errs = make([][]byte, len(receipts)), make([]error, len(receipts))
	list := make([]signed, len(receipts))
	var order []PublicKey
	of := make(map[PublicKey][]int, 1)
	for i, s := range receipts {
		if errs[i] = s.Receipt.Check(); errs[i] != nil {
			continue
		}
		if encoded[i], errs[i] = s.Encode(); errs[i] != nil {
			continue
		}
		// What is signed is the first part of what is encoded: an array of the two.
		body, ok := receiptIn(encoded[i], s.Signature)
		if !ok {
			errs[i] = s.Verify()
			continue
		}
		list[i] = signed{domainBytes(domainReceipt, body), s.Signature}
		w := s.Receipt.Worker
		if of[w] == nil {
			order = append(order, w)
		}
		of[w] = append(of[w], i)
	}
	for _, w := range order {
		which := of[w]
		if len(which) >= minBatch {
			batch := make([]signed, len(which))
			for n, i := range which {
				batch[n] = list[i]
			}
			if verifyAll(w, batch) {
				continue
			}
		}
		for _, i := range which {
			if !v.one(w, list[i]) {
				r := receipts[i].Receipt
				errs[i] = badReceipt(r, badSignature(w))
			}
		}
	}
	return encoded, errs
}

// receiptIn finds the encoding of the receipt in that of a signed receipt.
func receiptIn(encoded, sig []byte) ([]byte, bool) {
	tail := 2 + len(sig) // a byte string's head and its bytes
	if len(sig) != ed25519.SignatureSize || len(encoded) < 1+tail {
		return nil, false
	}
	return encoded[1 : len(encoded)-tail], true
}

func (v *Verifier) one(k PublicKey, s signed) bool {
	x := v.expanded(k)
	return x != nil && len(s.sig) == ed25519.SignatureSize && ed25519.VerifyExpandedWithOptions(x, s.msg, s.sig, zip215)
}

// expanded returns what is computed from a key, nil for bytes that are no key.
func (v *Verifier) expanded(k PublicKey) *ed25519.ExpandedPublicKey {
	v.mu.Lock()
	x := v.young[k]
	if x == nil {
		x = v.old[k]
	}
	v.mu.Unlock()
	if x != nil {
		return x
	}
	x, err := ed25519.NewExpandedPublicKey(k[:])
	if err != nil {
		return nil
	}
	v.mu.Lock()
	if v.young == nil || len(v.young) >= v.limit {
		v.old, v.young = v.young, make(map[PublicKey]*ed25519.ExpandedPublicKey, 16)
	}
	v.young[k] = x
	v.mu.Unlock()
	return x
}
