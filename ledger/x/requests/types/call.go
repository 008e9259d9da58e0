package types

import (
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/work"
)

// Policies of requests; from Agreement(2) on they are how many workers must agree.
const (
	Safe       = 0 // told once its epoch has settled
	Optimistic = 1 // told at once, and told again if it was false
	MaxPolicy  = 5
)

// Digested is set in the status that a contract is told where the answer is too long for
// the ledger and what stands for it is its SHA-256.
const Digested = 0x80

// Ask is what somebody asks a model.
type Ask struct {
	From        sdk.AccAddress // holds the fee, and is where it is taken from
	Payer       sdk.AccAddress // gets back what is not used, and may cancel
	Fee         math.Int       // what comes along; what the request can't cost goes back at once
	Callback    [20]byte       // the contract to tell; zero for none
	CallbackGas uint64         // of one call
	Speaker     [32]byte       // ID: the "model" that contracts name
	Prompt      []byte
	Sampling    Sampling
	Policy      uint8
}

// Size is what the fee of a request depends on.
type Size struct {
	Speaker     [32]byte
	PromptBytes uint32
	MaxTokens   uint32
	CallbackGas uint64
	Policy      uint8
}

// Size of the request.
func (a Ask) Size() Size {
	return Size{Speaker: a.Speaker, PromptBytes: uint32(min(len(a.Prompt), 1<<31)), MaxTokens: a.Sampling.MaxTokens, CallbackGas: a.CallbackGas, Policy: a.Policy}
}

// Quote is the least fee of a request, in anote. Fee is the sum of the rest.
type Quote struct {
	Offer    Offer
	Fee      math.Int
	Escrow   math.Int // so that workers can be asked as often as may be needed
	Callback math.Int // of all callbacks that there may be
	Delivery math.Int
	Bytes    math.Int // of the prompt and of the longest answer
	Price    math.Int // of a unit of the callback's gas
}

// Call is what a contract is to be told, and how a request stands after a step.
type Call struct {
	Due     bool     // a contract is to be called, and Called to be told how that went
	To      [20]byte // which
	Gas     uint64   // with exactly this
	ID      uint64
	Status  Status
	Answer  []byte // empty unless Status is Answered or Final
	Hashed  bool   // Answer is a SHA-256
	Label   work.Label
	Receipt [32]byte
}

// StatusCode is the status as contracts are told it.
func (c Call) StatusCode() uint8 { return statusCode(c.Status, c.Hashed) }

// LabelCode is the label as contracts are told it.
func (c Call) LabelCode() uint8 { return LabelCode(c.Label) }

// StatusCode is the status as contracts are told it.
func (r Request) StatusCode() uint8 { return statusCode(r.Status, r.Digested) }

func statusCode(s Status, digested bool) uint8 {
	if digested {
		return uint8(s) | Digested
	}
	return uint8(s)
}

// Called is how a callback went.
type Called struct {
	GasUsed uint64 // at most the Call's Gas
	OK      bool
}

// LabelCode numbers trust labels for contracts: the stronger, the higher; 0 for none.
func LabelCode(l work.Label) uint8 {
	switch l {
	case work.Proved:
		return 6
	case work.Replayed:
		return 5
	case work.Attested:
		return 4
	case work.Agreed:
		return 3
	case work.Measured:
		return 2
	case work.Asserted:
		return 1
	}
	return 0
}
