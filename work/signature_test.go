package work_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/hdevalence/ed25519consensus"
	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/work"
)

// smallOrder are all encodings, canonical or not, of the points of order 1, 2, 4 and 8: the
// keys and nonces of the test vectors of ZIP 215 (https://zips.z.cash/zip-0215), which sign
// "Zcash" with S = 0.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func keyOf(t testing.TB, b []byte) work.PublicKey {
	t.Helper()
	k, err := work.KeyFromBytes(b)
	require.NoError(t, err)
	return k
}

// TestZIP215 takes the vectors of the rule's authors.
func TestZIP215(t *testing.T) {
	for _, a := range smallOrder {
		for _, r := range smallOrder {
			k, sig := keyOf(t, unhex(t, a)), append(unhex(t, r), make([]byte, 32)...)
			require.NoError(t, k.VerifyNonce([]byte("Zcash"), sig), "key %s, R %s", a, r)
			require.True(t, ed25519consensus.Verify(k[:], []byte("Zcash"), sig))
		}
	}
}

// TestSpecCheck takes the cases of Chalkias, Garillot and Nikolaenko, "Taming the many
// EdDSAs" (2020), on which implementations differ, and holds the answers to those of another
// implementation of ZIP 215: S not below the order is refused, all else is taken where the
// equation with the factor 8 holds.
func TestSpecCheck(t *testing.T) {
	b, err := os.ReadFile("testdata/speccheck.json")
	require.NoError(t, err)
	var cases []struct{ Message, Key, Signature string }
	require.NoError(t, json.Unmarshal(b, &cases))
	want := []bool{true, true, true, true, true, true, false, false, false, true, true, true}
	require.Len(t, cases, len(want))
	for i, c := range cases {
		k, m, sig := keyOf(t, unhex(t, c.Key)), unhex(t, c.Message), unhex(t, c.Signature)
		got := k.VerifyNonce(m, sig) == nil
		require.Equal(t, ed25519consensus.Verify(k[:], m, sig), got, "case %d", i)
		require.Equal(t, want[i], got, "case %d", i)
	}
}

// forge signs a receipt's bytes so that the nonce, and the key where wanted, has a part of
// small order. crypto/ed25519 refuses most of these signatures, ZIP 215 takes them all.
func forge(t testing.TB, r *rand.Rand, seed byte, keyPart, noncePart string, change func(*work.Receipt)) work.SignedReceipt {
	t.Helper()
	point := func(s *scalar.Scalar, part string) []byte {
		var p, q curve.EdwardsPoint
		var c curve.CompressedEdwardsY
		_, err := c.SetBytes(unhex(t, part))
		require.NoError(t, err)
		_, err = q.SetCompressedY(&c)
		require.NoError(t, err)
		p.Add(p.MulBasepoint(curve.ED25519_BASEPOINT_TABLE, s), &q)
		return c.SetEdwardsPoint(&p)[:]
	}
	wide := func(b []byte) *scalar.Scalar {
		h := sha512.Sum512(b)
		s, err := scalar.NewFromBytesModOrderWide(h[:])
		require.NoError(t, err)
		return s
	}
	a, nonce := wide([]byte{seed}), wide([]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), seed})
	rec := receipt(t).Receipt
	rec.Worker = keyOf(t, point(a, keyPart))
	if change != nil {
		change(&rec)
	}
	enc, err := work.Encode(rec)
	require.NoError(t, err)
	msg := append([]byte("cantus/receipt/1\x00"), enc...)
	big := point(nonce, noncePart)
	k := wide(bytes.Join([][]byte{big, rec.Worker[:], msg}, nil))
	s := new(scalar.Scalar).Mul(k, a)
	s.Add(s, nonce)
	sig := append(bytes.Clone(big), make([]byte, 32)...)
	require.NoError(t, s.ToBytes(sig[32:]))
	if keyPart == smallOrder[2] && noncePart == smallOrder[2] { // neither has such a part
		require.True(t, ed25519.Verify(rec.Worker[:], msg, sig))
	}
	require.True(t, ed25519consensus.Verify(rec.Worker[:], msg, sig))
	return work.SignedReceipt{Receipt: rec, Signature: sig}
}

// TestOneAndMany holds checking receipts one by one against checking them together, with
// honest and broken ones and with those on which implementations differ in any mixture.
func TestOneAndMany(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	v := work.NewVerifier(2)
	for round := range 60 {
		var list []*work.SignedReceipt
		for i := range 1 + r.IntN(40) {
			var s work.SignedReceipt
			seq := func(x *work.Receipt) { x.Seq = uint64(100*round + i + 1) }
			switch r.IntN(3) {
			case 0:
				rec := receipt(t).Receipt
				seq(&rec)
				var err error
				s, err = work.SignReceipt(key(t, byte(1+r.IntN(2))), rec)
				require.NoError(t, err)
			case 1:
				s = forge(t, r, byte(r.IntN(2)), smallOrder[2], smallOrder[r.IntN(8)], seq)
			case 2:
				s = forge(t, r, byte(r.IntN(2)), smallOrder[r.IntN(8)], smallOrder[r.IntN(8)], seq)
			}
			if round%2 == 1 && r.IntN(8) == 0 {
				switch r.IntN(6) {
				case 0:
					s.Signature[r.IntN(64)] ^= 1 << r.IntN(8)
				case 1:
					s.Receipt.Units++
				case 2:
					s.Signature = s.Signature[:r.IntN(64)]
				case 3:
					s.Signature = append(s.Signature, 0)
				case 4:
					s.Receipt.Attempt = 0
				case 5: // not below the order
					for k := 32; k < 64; k++ {
						s.Signature[k] = 0xff
					}
				}
			}
			list = append(list, &s)
		}
		encoded, errs := v.Receipts(list)
		for i, s := range list {
			one := s.Verify()
			require.Equal(t, one == nil, errs[i] == nil, "round %d, receipt %d of %d: alone %v, together %v", round, i, len(list), one, errs[i])
			if one != nil {
				require.Equal(t, one.Error(), errs[i].Error())
				continue
			}
			b, err := s.Encode()
			require.NoError(t, err)
			require.Equal(t, b, encoded[i])
		}
	}
}

// TestHonestEverywhere: what honest keys sign, and what is broken of it, is the same to
// crypto/ed25519, to another implementation of ZIP 215 and to this one.
func TestHonestEverywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		k := key(t, byte(i))
		pub := k.Public()
		msg := make([]byte, r.IntN(200))
		for j := range msg {
			msg[j] = byte(r.Uint32())
		}
		sig := k.SignNonce(msg)
		if i%2 == 1 {
			switch r.IntN(3) {
			case 0:
				sig[r.IntN(64)] ^= 1 << r.IntN(8)
			case 1:
				msg = append(msg, 0)
			case 2:
				pub = key(t, byte(i+1)).Public()
			}
		}
		want := ed25519.Verify(pub[:], msg, sig)
		require.Equal(t, i%2 == 0, want)
		require.Equal(t, want, ed25519consensus.Verify(pub[:], msg, sig))
		require.Equal(t, want, pub.VerifyNonce(msg, sig) == nil)
	}
}

// FuzzVerify has the fuzzer look for a signature on which two implementations differ.
func FuzzVerify(f *testing.F) {
	for _, p := range smallOrder {
		f.Add(unhex(f, p), append(unhex(f, p), make([]byte, 32)...), []byte("Zcash"))
	}
	k := key(f, 1)
	pub := k.Public()
	f.Add(pub[:], k.SignNonce([]byte("m")), []byte("m"))
	f.Fuzz(func(t *testing.T, key, sig, msg []byte) {
		k, err := work.KeyFromBytes(key)
		if err != nil {
			return
		}
		if got := k.VerifyNonce(msg, sig) == nil; got != ed25519consensus.Verify(key, msg, sig) {
			t.Fatalf("key %x, signature %x, message %x: %v", key, sig, msg, got)
		}
	})
}

// BenchmarkVerifier checks fifty receipts of one worker, together and one by one.
func BenchmarkVerifier(b *testing.B) {
	k := key(b, 1)
	var list []*work.SignedReceipt
	for i := range 50 {
		r := receipt(b).Receipt
		r.Seq = uint64(i + 1)
		s, err := work.SignReceipt(k, r)
		require.NoError(b, err)
		list = append(list, &s)
	}
	v := work.NewVerifier(16)
	for name, f := range map[string]func(){
		"together": func() { v.Receipts(list) },
		"alone": func() {
			for _, s := range list {
				_ = s.Verify()
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(len(list)*b.N)/b.Elapsed().Seconds(), "receipts/s")
		})
	}
}
