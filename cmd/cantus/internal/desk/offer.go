package desk

import (
	"errors"
	"fmt"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// Prices are what a gateway asks of contracts. Zero sizes are as much as always fits the
// model, or of pages as much as the ledger takes.
type Prices struct {
	Price, DeliveryFee       math.Int // anote: of a unit; of a delivery
	PromptUnits, OutputUnits uint64   // of a token
	MaxPrompt, MaxAnswer     uint32   // bytes; of pages of an address, and of the content
	MaxTokens                uint32   // of an answer
	AuditBps                 uint32
	Epoch, Expiry            int64 // blocks
}

// usualTokens is how long an answer may be where nobody says, if the model takes so much.
const usualTokens = 256

// ErrModel says that a model can't be offered to contracts on these terms.
var ErrModel = errors.New("the model can't be offered to contracts so")

// Offer makes a gateway's offer to speak with a model's voice, and the spec that the gateway
// must have in its artifact store for it. Context is how many tokens the model takes.
func Offer(gateway, cell string, key work.PublicKey, v *voice.Voice, context int, p Prices) (*types.MsgOffer, []byte, error) {
	s := v.Speaker()
	frame := s.MostTokens(0)
	if p.MaxTokens == 0 {
		p.MaxTokens = uint32(min(usualTokens, max(1, context/4)))
	}
	room := context - frame - int(p.MaxTokens)
	if p.MaxPrompt == 0 {
		p.MaxPrompt = uint32(max(0, min(room, types.MaxPrompt/8)))
	}
	if p.MaxAnswer == 0 {
		p.MaxAnswer = types.MaxAnswer
	}
	// A token may be a single byte: what is offered must always fit.
	if p.MaxPrompt == 0 || int(p.MaxPrompt) > room {
		return nil, nil, fmt.Errorf("%w: it takes %d tokens, and a prompt of %d bytes with an answer of %d tokens may need %d", ErrModel, context, p.MaxPrompt, p.MaxTokens, frame+int(p.MaxPrompt)+int(p.MaxTokens))
	}
	terms := types.Terms{
		Cell: cell, Price: p.Price, PromptUnits: p.PromptUnits, OutputUnits: p.OutputUnits, DeliveryFee: p.DeliveryFee,
		MaxPromptBytes: p.MaxPrompt, MaxAnswerBytes: p.MaxAnswer, MaxTokens: p.MaxTokens,
		AuditBps: p.AuditBps, EpochBlocks: p.Epoch, ExpiryBlocks: p.Expiry,
	}
	spec, err := specOf(s, terms, key)
	if err != nil {
		return nil, nil, err
	}
	digest := artifact.Sum(spec)
	terms.SpecDigest = digest[:]
	return &types.MsgOffer{Gateway: gateway, Speaker: v.Encoded(), Terms: terms}, spec, nil
}

// specOf is the tab behind an offer. It follows from the terms, so it need not be kept. Its
// API keys would be signed by the gateway's own key: nobody else draws on the jobs.
func specOf(s *speaker.Speaker, t types.Terms, key work.PublicKey) ([]byte, error) {
	spec := tab.Spec{
		Version: tab.Version, Key: key, MaxUnits: t.Units(s.MostTokens(int(t.MaxPromptBytes)), int(t.MaxTokens)),
		Models: []tab.Model{{Root: s.Model, Name: artifact.Digest(s.Model).String(), PromptUnits: t.PromptUnits, OutputUnits: t.OutputUnits}},
	}
	b, err := spec.Encode()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return b, nil
}

// OfferPages makes a gateway's offer to fetch pages for contracts and tell them in one form,
// and the spec that the gateway must have in its artifact store for it. Of the prices it takes
// those that are not of tokens.
func OfferPages(gateway, cell string, f types.Form, p Prices) (*types.MsgOffer, []byte, error) {
	if p.MaxPrompt == 0 {
		p.MaxPrompt = types.MaxURL
	}
	if p.MaxAnswer == 0 {
		p.MaxAnswer = types.MaxAnswer
	}
	spec, err := liveSpec()
	if err != nil {
		return nil, nil, err
	}
	digest := artifact.Sum(spec)
	return &types.MsgOffer{Gateway: gateway, Speaker: f.Encoded(), Terms: types.Terms{
		Cell: cell, Price: p.Price, DeliveryFee: p.DeliveryFee, MaxPromptBytes: p.MaxPrompt, MaxAnswerBytes: p.MaxAnswer,
		AuditBps: p.AuditBps, EpochBlocks: p.Epoch, ExpiryBlocks: p.Expiry, SpecDigest: digest[:],
	}}, spec, nil
}
