package types

// Events. Addresses are in bech32, heights and numbers in decimal.
const (
	EventRegistered  = "lineage_registered"  // cid, type, owner, label, job, parents (their number)
	EventTransferred = "lineage_transferred" // cid, owner (the new one), from
	EventRevoked     = "lineage_revoked"     // cid, owner, by, reason
)

// Attributes of the events.
const (
	AttrCID     = "cid"
	AttrType    = "type"
	AttrOwner   = "owner"
	AttrFrom    = "from"
	AttrBy      = "by"
	AttrLabel   = "label"
	AttrJob     = "job"
	AttrParents = "parents"
	AttrReason  = "reason"
)
