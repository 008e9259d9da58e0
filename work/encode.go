package work

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// ErrEncoding marks bytes that are not the canonical encoding of what was expected.
var ErrEncoding = errors.New("not in canonical form")

// The one encoding is RFC 8949 §4.2.1 core deterministic CBOR over structs that are
// encoded as arrays: no optional forms, so that equal values have equal bytes and a
// signature covers one meaning.
var (
	encMode = must(cbor.EncOptions{
		Sort:          cbor.SortBytewiseLexical,
		ShortestFloat: cbor.ShortestFloat16,
		NaNConvert:    cbor.NaNConvert7e00,
		InfConvert:    cbor.InfConvertFloat16,
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
		NilContainers: cbor.NilContainerAsEmpty, // nil and empty are one value, so they have one encoding
	}.EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   16,
		MaxArrayElements:  1 << 16,
		MaxMapPairs:       1 << 12,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options above are constants: wrong ones never leave a test run
	}
	return v
}

// Encode returns the canonical CBOR of v. It fails only for types that CBOR can't hold.
func Encode(v any) ([]byte, error) { return encMode.Marshal(v) }

// Decode reads the canonical CBOR of a T and refuses every other spelling of it: longer
// integers, unsorted maps, unknown fields, trailing bytes, more than limit bytes.
func Decode[T any](b []byte, limit int) (T, error) {
	var v T
	if len(b) > limit {
		return v, fmt.Errorf("%w: %d bytes, at most %d", ErrEncoding, len(b), limit)
	}
	if err := decMode.Unmarshal(b, &v); err != nil {
		var zero T
		return zero, fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	again, err := encMode.Marshal(v)
	if err != nil || !bytes.Equal(again, b) {
		var zero T
		return zero, fmt.Errorf("%w: another encoding of the same value", ErrEncoding)
	}
	return v, nil
}

// Domains keep a signature or digest made for one purpose from serving another.
const (
	domainTask       = "cantus/task/1"
	domainReceipt    = "cantus/receipt/1"
	domainVoucher    = "cantus/voucher/1"
	domainVerdict    = "cantus/verdict/1"
	domainCommitment = "cantus/verdict-commitment/1"
	domainEnrollment = "cantus/enrollment/1"
	domainSample     = "cantus/sample/1"
	domainAuditor    = "cantus/auditor/1"
	domainBeacon     = "cantus/beacon/1"
	domainSettled    = "cantus/settled/1"
	domainPlants     = "cantus/plants/1"
	domainCell       = "cantus/cell/1"
	domainTrace      = "cantus/trace/1"
)

// domainBytes is what gets signed or hashed: the domain, a zero byte, the message. No
// domain contains a zero byte, so no two (domain, message) pairs collide.
func domainBytes(domain string, parts ...[]byte) []byte {
	n := len(domain) + 1
	for _, p := range parts {
		n += len(p)
	}
	b := make([]byte, 0, n)
	b = append(b, domain...)
	b = append(b, 0)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func domainHash(domain string, parts ...[]byte) [32]byte {
	return sha256.Sum256(domainBytes(domain, parts...))
}
