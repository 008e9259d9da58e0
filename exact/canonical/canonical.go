// Package canonical is the form of what answers are signed and hashed as: values that have one
// encoding each, so that a digest covers one meaning. It is RFC 8949 §4.2.1 core deterministic
// CBOR over structs encoded as arrays, as everything that the network signs; package exact
// stands below what has the other copy of this. Lists of tokens are byte strings of varints.
//
//	Encode, Decode, Same   a value, its one encoding, and nothing else
//	PutTokens, Tokens      lists of tokens
package canonical

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// ErrEncoding marks bytes that are not the one encoding of what was expected.
var ErrEncoding = errors.New("not in canonical form")

var (
	encMode = must(cbor.EncOptions{
		Sort:          cbor.SortBytewiseLexical,
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
	}.EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   4,
		MaxArrayElements:  16,
		MaxMapPairs:       16,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options above are constants: wrong ones never leave a test run
	}
	return v
}

// Encode is the one encoding of a value, which must be a struct of plain fields with the tag
// cbor:",toarray".
func Encode(value any) ([]byte, error) { return encMode.Marshal(value) }

// Decode reads at most so many bytes into the value. Some spellings besides the one that Encode
// gives get through: Same finds those, once the value is known to be whole.
func Decode(b []byte, limit int, value any) error {
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrEncoding, len(b), limit)
	}
	if err := decMode.Unmarshal(b, value); err != nil {
		return fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	return nil
}

// Same refuses every spelling of a value but its own.
func Same(b []byte, value any) error {
	again, err := Encode(value)
	if err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("%w: another encoding of the same value", ErrEncoding)
	}
	return nil
}

// PutTokens is a list of tokens as Tokens reads it.
func PutTokens(list []uint32) []byte {
	b := make([]byte, 0, 3*len(list))
	for _, id := range list {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

// Tokens reads a list of tokens below a bound. Varints with bytes too many get through: to
// encode the list again shows them.
func Tokens(b []byte, below uint64) ([]uint32, error) {
	var list []uint32
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v >= min(below, 1<<32) {
			return nil, fmt.Errorf("%w: number %d of a list of tokens", ErrEncoding, len(list))
		}
		list, b = append(list, uint32(v)), b[n:]
	}
	return list, nil
}
