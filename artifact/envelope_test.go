package artifact_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cantus-network/cantus/artifact"
)

// p256 is the key type of the vector in DSSE's protocol.md: raw r and s over SHA-256. It
// also shows that a caller can bring a key of its own.
type p256 struct{ key ecdsa.PublicKey }

func (p256) KeyID() string { return "p256" }

func (p p256) Verify(message, sig []byte) error {
	if len(sig) != 64 {
		return errors.New("want 64 bytes")
	}
	h := sha256.Sum256(message)
	if !ecdsa.Verify(&p.key, h[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return errors.New("bad signature")
	}
	return nil
}

func decimal(t *testing.T, s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	require.True(t, ok)
	return n
}

func TestDSSEProtocolVector(t *testing.T) {
	// The vector gives the point as two decimals; SEC 1 writes 4, X and Y.
	point := make([]byte, 65)
	point[0] = 4
	decimal(t, "46950820868899156662930047687818585632848591499744589407958293238635476079160").FillBytes(point[1:33])
	decimal(t, "5640078356564379163099075877009565129882514886557779369047442380624545832820").FillBytes(point[33:])
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	require.NoError(t, err)
	key := p256{*pub}
	const payloadType = "http://example.com/HelloWorld"
	require.Equal(t, "DSSEv1 29 http://example.com/HelloWorld 11 hello world", string(artifact.PAE(payloadType, []byte("hello world"))))

	e, err := artifact.DecodeEnvelope([]byte(`{"payload": "aGVsbG8gd29ybGQ=",
 "payloadType": "http://example.com/HelloWorld",
 "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}`))
	require.NoError(t, err)
	require.Equal(t, "hello world", string(e.Payload))
	accepted, err := e.Verify(payloadType, 1, key)
	require.NoError(t, err)
	require.Equal(t, []string{"p256"}, accepted)
	e.Payload[0]++
	_, err = e.Verify(payloadType, 1, key)
	require.ErrorIs(t, err, artifact.ErrUnverified)
}

// named gives an Ed25519 key the ID that a vector knows it by.
type named struct {
	artifact.Ed25519Verifier
	id string
}

func (n named) KeyID() string { return n.id }

// The keys are the first two of RFC 8032, section 7.1; the signatures are those of the
// vectors that DSSE's repository has under testvectors/.
func TestDSSEVectors(t *testing.T) {
	key := func(id, public string) named {
		b, err := hex.DecodeString(public)
		require.NoError(t, err)
		return named{artifact.Ed25519Verifier(b), id}
	}
	a := key("A", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	b := key("B", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
	const (
		inToto = "application/vnd.in-toto+json"
		body   = "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ=="
		sigA   = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="
		sigB   = "c1+67/aT0yqEpwx8PsVY3MLHsj9D0CZ014/Fv/QlG59P+9CobUZ7xECJ/V3USG0Ob9CiE5LjReEZUzNF2l7eBw=="
	)
	type sig struct {
		KeyID string `json:"keyid,omitempty"`
		Sig   string `json:"sig"`
	}
	for _, v := range []struct {
		name, payload, payloadType, want string
		sigs                             []sig
		threshold                        int
		ok                               bool
	}{
		{"single signature", body, inToto, inToto, []sig{{"A", sigA}}, 1, true},
		{"URL-safe base64", "-_-_Pj8=", inToto, inToto, []sig{{"A", "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw=="}}, 1, true},
		{"payload type swapped", body, "application/vnd.example.other+json", "application/vnd.example.other+json", []sig{{"A", sigA}}, 1, false},
		{"another type than asked for", body, inToto, "application/vnd.example.other+json", []sig{{"A", sigA}}, 1, false},
		{"non-ASCII payload type", body, "application/vnd.exämple+json", "application/vnd.exämple+json", []sig{{"A", "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw=="}}, 1, true},
		{"empty payload", "", inToto, inToto, []sig{{"A", "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg=="}}, 1, true},
		{"empty payload type", body, "", "", []sig{{"A", "iC3q/+3Rm0+lpAJRueDmDh15PnwCfxKmS0NAfKsbv+zgulXQC/WM9trc+j1XEqlwDIg/vf/uNfebeD6sxInrDg=="}}, 1, false},
		{"two keys", body, inToto, inToto, []sig{{"A", sigA}, {"B", sigB}}, 2, true},
		{"one key twice", body, inToto, inToto, []sig{{"A", sigA}, {"A", sigA}}, 2, false},
		{"one key twice, without its ID", body, inToto, inToto, []sig{{"", sigA}, {"", sigA}}, 2, false},
		{"two keys without IDs", body, inToto, inToto, []sig{{"", sigA}, {"", sigB}}, 2, true},
		{"a wrong ID", body, inToto, inToto, []sig{{"B", sigA}}, 1, false},
		{"a stranger besides", body, inToto, inToto, []sig{{"C", sigB}, {"A", sigA}}, 1, true},
		{"a bad one besides", body, inToto, inToto, []sig{{"B", sigA}, {"A", sigA}}, 1, true},
	} {
		raw, err := json.Marshal(map[string]any{"payload": v.payload, "payloadType": v.payloadType, "signatures": v.sigs})
		require.NoError(t, err)
		e, err := artifact.DecodeEnvelope(raw)
		require.NoError(t, err, v.name)
		_, err = e.Verify(v.want, v.threshold, a, b)
		if v.ok {
			require.NoError(t, err, v.name)
		} else {
			require.ErrorIs(t, err, artifact.ErrUnverified, v.name)
		}
	}
}

func signer(t testing.TB, n byte) artifact.Ed25519Signer {
	s, err := artifact.NewEd25519Signer(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	require.NoError(t, err)
	return s
}

func sampleStatement(t testing.TB) artifact.Statement {
	b, err := sampleManifest().Encode()
	require.NoError(t, err)
	return artifact.Statement{
		Subjects: []artifact.Subject{{Name: "dataset.json", SHA256: artifact.Sum(b)}},
		Lineage: artifact.Lineage{
			Type:       "dataset",
			CID:        artifact.ManifestCID(b),
			Origin:     sampleManifest().Origin,
			Parents:    []artifact.Parent{{CID: artifact.CID(artifact.Raw, artifact.Sum([]byte("seeds"))), Role: "seeds"}},
			License:    "CC-BY-4.0",
			Parameters: sampleManifest().Parameters,
			Label:      "agreed",
			Created:    time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC),
		},
	}
}

func TestStatementRoundTrip(t *testing.T) {
	s, alice, bob := sampleStatement(t), signer(t, 1), signer(t, 2)
	e, err := artifact.SignStatement(s, alice, bob)
	require.NoError(t, err)
	encoded, err := e.Encode()
	require.NoError(t, err)
	back, err := artifact.DecodeEnvelope(encoded)
	require.NoError(t, err)
	require.Equal(t, e, back)

	got, accepted, err := artifact.VerifyStatement(back, 2, alice.Verifier(), bob.Verifier())
	require.NoError(t, err)
	require.Equal(t, s, got)
	require.Equal(t, []string{alice.KeyID(), bob.KeyID()}, accepted)
	_, _, err = artifact.VerifyStatement(back, 1, signer(t, 3).Verifier())
	require.ErrorIs(t, err, artifact.ErrUnverified)
	_, _, err = artifact.VerifyStatement(back, 2, alice.Verifier(), alice.Verifier())
	require.Error(t, err, "one key can't count as two")
	for _, threshold := range []int{-1, 0, 2} {
		_, _, err = artifact.VerifyStatement(back, threshold, alice.Verifier())
		require.Error(t, err, "a threshold of %d of 1", threshold)
	}
	require.NotContains(t, alice.String(), hex.EncodeToString(bytes.Repeat([]byte{1}, 32)))

	// Signed rightly, but about something else.
	e, err = artifact.Sign(artifact.PayloadType, []byte(`{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"https://slsa.dev/provenance/v1","subject":[]}`), alice)
	require.NoError(t, err)
	_, _, err = artifact.VerifyStatement(e, 1, alice.Verifier())
	require.ErrorIs(t, err, artifact.ErrStatement)
}

// securesystemslib's verifier, with our key behind its interface.
type foreignKey struct{ v artifact.Ed25519Verifier }

func (k foreignKey) Verify(_ context.Context, data, sig []byte) error { return k.v.Verify(data, sig) }
func (k foreignKey) KeyID() (string, error)                           { return k.v.KeyID(), nil }
func (k foreignKey) Public() crypto.PublicKey                         { return ed25519.PublicKey(k.v[:]) }

// What we write, the reference implementations of DSSE and in-toto must read.
func TestStatementForForeignReaders(t *testing.T) {
	s, alice := sampleStatement(t), signer(t, 1)
	e, err := artifact.SignStatement(s, alice)
	require.NoError(t, err)
	encoded, err := e.Encode()
	require.NoError(t, err)

	var foreign dsse.Envelope
	require.NoError(t, json.Unmarshal(encoded, &foreign))
	verifier, err := dsse.NewEnvelopeVerifier(foreignKey{alice.Verifier()})
	require.NoError(t, err)
	keys, err := verifier.Verify(t.Context(), &foreign)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, dsse.PAE(e.PayloadType, e.Payload), artifact.PAE(e.PayloadType, e.Payload))

	payload, err := foreign.DecodeB64Payload()
	require.NoError(t, err)
	var statement intoto.Statement
	require.NoError(t, protojson.Unmarshal(payload, &statement))
	require.NoError(t, statement.Validate())
	require.Equal(t, intoto.StatementTypeUri, statement.Type)
	require.Equal(t, artifact.PredicateType, statement.PredicateType)
	require.Len(t, statement.Subject, 1)
	require.Equal(t, map[string]string{"sha256": s.Subjects[0].SHA256.String()}, statement.Subject[0].Digest)
	require.Equal(t, s.Lineage.CID, statement.Predicate.Fields["cid"].GetStringValue())
	require.Equal(t, 7.0, statement.Predicate.Fields["origin"].GetStructValue().Fields["job"].GetNumberValue())
}

func TestStatementRefuses(t *testing.T) {
	for name, change := range map[string]func(*artifact.Statement){
		"no subject":             func(s *artifact.Statement) { s.Subjects = nil },
		"a subject twice":        func(s *artifact.Statement) { s.Subjects = append(s.Subjects, s.Subjects[0]) },
		"a subject without name": func(s *artifact.Statement) { s.Subjects[0].Name = "" },
		"another subject":        func(s *artifact.Statement) { s.Subjects[0].SHA256 = artifact.Sum(nil) },
		"no type":                func(s *artifact.Statement) { s.Lineage.Type = "" },
		"no CID":                 func(s *artifact.Statement) { s.Lineage.CID = "" },
		"a bad origin":           func(s *artifact.Statement) { s.Lineage.Origin = &artifact.Origin{} },
		"itself as its parent":   func(s *artifact.Statement) { s.Lineage.Parents[0].CID = s.Lineage.CID },
		"a bad parent":           func(s *artifact.Statement) { s.Lineage.Parents[0].CID = "Qm" },
		"a parent without role":  func(s *artifact.Statement) { s.Lineage.Parents[0].Role = "" },
		"a parent twice":         func(s *artifact.Statement) { s.Lineage.Parents = append(s.Lineage.Parents, s.Lineage.Parents[0]) },
		"no licence":             func(s *artifact.Statement) { s.Lineage.License = "" },
		"no label":               func(s *artifact.Statement) { s.Lineage.Label = "" },
		"bad parameters":         func(s *artifact.Statement) { s.Lineage.Parameters = json.RawMessage(`{ }`) },
		"no time":                func(s *artifact.Statement) { s.Lineage.Created = time.Time{} },
		"part of a second":       func(s *artifact.Statement) { s.Lineage.Created = s.Lineage.Created.Add(1) },
		"a local time":           func(s *artifact.Statement) { s.Lineage.Created = s.Lineage.Created.In(time.FixedZone("", 3600)) },
	} {
		s := sampleStatement(t)
		change(&s)
		if b, err := s.Encode(); !errors.Is(err, artifact.ErrStatement) {
			t.Errorf("%s: encoded as %.200s, %v", name, b, err)
		}
	}
}

func TestDecodeEnvelopeRefuses(t *testing.T) {
	const good = `{"payloadType":"t","payload":"eA==","signatures":[{"sig":"eA=="}],"extra":{"a":1}}`
	_, err := artifact.DecodeEnvelope([]byte(good))
	require.NoError(t, err)
	for name, s := range map[string]string{
		"nothing":                 ``,
		"an array":                `[]`,
		"two envelopes":           good + good,
		"a field twice":           `{"payloadType":"t","payload":"eA==","payload":"eQ==","signatures":[{"sig":"eA=="}]}`,
		"a field in another case": `{"payloadType":"t","payload":"eA==","Payload":"eQ==","signatures":[{"sig":"eA=="}]}`,
		"a field in long s":       `{"payloadType":"t","payload":"eA==","signatures":[{"sig":"eA==","\u017fig":"eQ=="}]}`,
		"no signatures":           `{"payloadType":"t","payload":"eA==","signatures":[]}`,
		"an empty signature":      `{"payloadType":"t","payload":"eA==","signatures":[{"sig":""}]}`,
		"too many signatures":     `{"payloadType":"t","payload":"eA==","signatures":[` + strings.Repeat(`{"sig":"eA=="},`, 16) + `{"sig":"eA=="}]}`,
		"unpadded base64":         `{"payloadType":"t","payload":"eA","signatures":[{"sig":"eA=="}]}`,
		"loose bits in base64":    `{"payloadType":"t","payload":"eB==","signatures":[{"sig":"eA=="}]}`,
		"two alphabets":           `{"payloadType":"t","payload":"-_+/","signatures":[{"sig":"eA=="}]}`,
		"a line break in base64":  `{"payloadType":"t","payload":"eA\n==","signatures":[{"sig":"eA=="}]}`,
		"not UTF-8":               "{\"payloadType\":\"\xff\",\"payload\":\"eA==\",\"signatures\":[{\"sig\":\"eA==\"}]}",
		"a long payload type":     `{"payloadType":"` + strings.Repeat("t", 300) + `","payload":"eA==","signatures":[{"sig":"eA=="}]}`,
		"very deep":               `{"payloadType":"t","payload":"eA==","signatures":[{"sig":"eA=="}],"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
		"broken off":              good[:len(good)-1],
	} {
		if e, err := artifact.DecodeEnvelope([]byte(s)); !errors.Is(err, artifact.ErrEnvelope) {
			t.Errorf("%s: read as %+v, %v", name, e, err)
		}
	}
	_, err = artifact.DecodeEnvelope(make([]byte, artifact.MaxEnvelope+1))
	require.ErrorIs(t, err, artifact.ErrEnvelope)
	_, err = artifact.Sign("t", make([]byte, artifact.MaxPayload+1), signer(t, 1))
	require.ErrorIs(t, err, artifact.ErrEnvelope)
	_, err = artifact.Sign("t", nil)
	require.Error(t, err)
	_, err = artifact.NewEd25519Signer(make([]byte, 31))
	require.Error(t, err)
}

func FuzzDecodeEnvelope(f *testing.F) {
	e, err := artifact.SignStatement(sampleStatement(f), signer(f, 1))
	require.NoError(f, err)
	b, err := e.Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(`{"payloadType":"t","payload":"-_-_","signatures":[{"sig":"eA==","keyid":"k"}],"x":[1.5e3]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := artifact.DecodeEnvelope(b)
		if err != nil {
			return
		}
		encoded, err := e.Encode()
		if err != nil {
			t.Fatalf("%q was read but can't be written: %v", b, err)
		}
		again, err := artifact.DecodeEnvelope(encoded)
		if err != nil || again.PayloadType != e.PayloadType || !bytes.Equal(again.Payload, e.Payload) || len(again.Signatures) != len(e.Signatures) {
			t.Fatalf("%q was read as %+v, written and read as %+v, %v", b, e, again, err)
		}
		if _, err := e.Verify(artifact.PayloadType, 1, signer(t, 9).Verifier()); err == nil {
			t.Fatalf("%q verifies under a key that never signed", b)
		}
	})
}

func FuzzDecodeStatement(f *testing.F) {
	b, err := sampleStatement(f).Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := artifact.DecodeStatement(b)
		if err != nil {
			return
		}
		if again, err := s.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q was read and written as %q, %v", b, again, err)
		}
	})
}
