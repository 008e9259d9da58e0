package types

// Events, one for each step, so that gateways and clients can follow requests. Amounts are
// in anote, digests in lower-case hexadecimal, addresses in bech32 but for contracts', which
// are as in Ethereum, everything else in decimal.
const (
	EventOffered   = "requests_offered"   // speaker, gateway
	EventWithdrawn = "requests_withdrawn" // speaker, gateway
	EventRequested = "requests_requested" // request, speaker, payer, gateway, job, policy, amount (the fee)
	EventAnswered  = "requests_answered"  // request, gateway, status, label, receipt
	EventCalled    = "requests_called"    // request, success, gas, amount (paid for it)
	EventEnded     = "requests_ended"     // request, gateway, status
)

// Attributes of the events.
const (
	AttrRequest = "request"
	AttrSpeaker = "speaker"
	AttrGateway = "gateway"
	AttrPayer   = "payer"
	AttrJob     = "job"
	AttrPolicy  = "policy"
	AttrStatus  = "status"
	AttrLabel   = "label"
	AttrReceipt = "receipt"
	AttrSuccess = "success"
	AttrGas     = "gas"
	AttrAmount  = "amount"
)
