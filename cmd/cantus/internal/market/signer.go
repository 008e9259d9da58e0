package market

import (
	"fmt"

	"github.com/ethereum/go-ethereum/crypto"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/keys"
)

// Signer signs statements with an account's key: ECDSA on secp256k1 over the Keccak-256
// of the message, 65 bytes with the recovery bit last, so that the signature alone shows
// the address that made it.
type Signer struct {
	ring keys.Ring
	acc  keys.Account
}

var (
	_ artifact.Signer   = Signer{}
	_ artifact.Verifier = AddressVerifier{}
)

// NewSigner signs as the account.
func NewSigner(ring keys.Ring, acc keys.Account) Signer { return Signer{ring, acc} }

// KeyID is the account's address.
func (s Signer) KeyID() string { return s.acc.Address.String() }

// Sign signs the message with the account's key.
func (s Signer) Sign(message []byte) ([]byte, error) {
	sig, _, err := s.ring.Sign(s.acc.Name, message, signing.SignMode_SIGN_MODE_DIRECT)
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", s.acc.Name, err)
	}
	return sig, nil
}

// AddressVerifier verifies what Signer signed, for whoever owns the address.
type AddressVerifier struct{ Address sdk.AccAddress }

// KeyID is the address.
func (v AddressVerifier) KeyID() string { return v.Address.String() }

// Verify recovers the address from the signature. Only the signature's lower half of the
// curve's order counts, so that nobody can make a second signature out of one.
func (v AddressVerifier) Verify(message, signature []byte) error {
	const size = 65
	if len(signature) != size || signature[size-1] > 1 {
		return fmt.Errorf("signature of %d bytes, want %d with a recovery bit last", len(signature), size)
	}
	hash := crypto.Keccak256(message)
	pub, err := crypto.SigToPub(hash, signature)
	if err != nil {
		return fmt.Errorf("recover the signer: %w", err)
	}
	if !crypto.VerifySignature(crypto.CompressPubkey(pub), hash, signature[:size-1]) {
		return fmt.Errorf("the signature is not in its canonical form")
	}
	if got := crypto.PubkeyToAddress(*pub); !v.Address.Equals(sdk.AccAddress(got[:])) {
		return fmt.Errorf("signed by %s", sdk.AccAddress(got[:]))
	}
	return nil
}
