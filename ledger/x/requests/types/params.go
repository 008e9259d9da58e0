package types

import (
	"cosmossdk.io/math"
)

// Limits that no parameter can lift.
const (
	maxCallbackGas   = 20_000_000
	maxOpen          = 1 << 20
	maxOffers        = 256
	maxEvidence      = 1 << 20
	maxDeliverBlocks = 1 << 40
)

// DefaultParams are the rules of a public network with blocks of about two seconds.
func DefaultParams() Params {
	return Params{
		MaxCallbackGas:    2_000_000,
		MinCallbackPrice:  math.NewInt(1_000_000_000),
		BytePrice:         math.NewInt(100_000_000_000),
		MaxOpenPerAccount: 256,
		MaxOpenPerGateway: 256, // four or five transactions each, within answer_blocks
		MaxOffers:         64,
		MaxEvidenceBytes:  128 << 10,
		DeliverBlocks:     1_800, // an hour
	}
}

// DevnetParams are the rules of a one-machine network with blocks of 200 ms.
func DevnetParams() Params {
	p := DefaultParams()
	p.DeliverBlocks = 100
	return p
}

// Validate refuses parameters under which no request could be made or answered.
func (p Params) Validate() error {
	if err := CheckSum("params: min_callback_price", p.MinCallbackPrice); err != nil {
		return err
	}
	if err := CheckSum("params: byte_price", p.BytePrice); err != nil {
		return err
	}
	for _, n := range []struct {
		name        string
		value, most uint64
	}{
		{"max_callback_gas", p.MaxCallbackGas, maxCallbackGas},
		{"max_open_per_account", uint64(p.MaxOpenPerAccount), maxOpen},
		{"max_open_per_gateway", uint64(p.MaxOpenPerGateway), maxOpen},
		{"max_offers", uint64(p.MaxOffers), maxOffers},
		{"max_evidence_bytes", uint64(p.MaxEvidenceBytes), maxEvidence},
		{"deliver_blocks", uint64(max(p.DeliverBlocks, 0)), maxDeliverBlocks},
	} {
		if n.value < 1 || n.value > n.most {
			return ErrInvalid.Wrapf("params: %s is %d, want 1 to %d", n.name, n.value, n.most)
		}
	}
	return nil
}
