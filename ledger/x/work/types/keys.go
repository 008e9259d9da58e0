package types

import "cosmossdk.io/collections"

const (
	// ModuleName names the module and its store.
	ModuleName = "work"
	// StoreKey is the key of its store.
	StoreKey = ModuleName

	// EscrowAccount holds what buyers locked up for their jobs, and BondsAccount the
	// bonds of workers and gateways with the deposits of challengers. Both burn, and
	// both must be blocked in the bank: what they hold is what the books say.
	EscrowAccount = "work_escrow"
	BondsAccount  = "work_bonds"
)

// Accounts are the module's accounts, for the application's permissions and its list of
// blocked addresses.
func Accounts() []string { return []string{EscrowAccount, BondsAccount} }

// Prefixes of the store. Numbers are never reused.
var (
	ParamsPrefix           = collections.NewPrefix(1)
	OperatorsPrefix        = collections.NewPrefix(2)
	WorkersPrefix          = collections.NewPrefix(3)
	WorkersByOwnerPrefix   = collections.NewPrefix(4)
	RosterPrefix           = collections.NewPrefix(5)
	RosterPlacePrefix      = collections.NewPrefix(6)
	RosterSizePrefix       = collections.NewPrefix(7)
	GatewaysPrefix         = collections.NewPrefix(8)
	GatewayKeysPrefix      = collections.NewPrefix(9)
	NextJobPrefix          = collections.NewPrefix(10)
	JobsPrefix             = collections.NewPrefix(11)
	JobsByBuyerPrefix      = collections.NewPrefix(12)
	JobsByGatewayPrefix    = collections.NewPrefix(13)
	LiveJobsPrefix         = collections.NewPrefix(14)
	EpochsPrefix           = collections.NewPrefix(15)
	ClaimedPrefix          = collections.NewPrefix(16)
	NextChallengePrefix    = collections.NewPrefix(17)
	ChallengesPrefix       = collections.NewPrefix(18)
	ChallengeTargetsPrefix = collections.NewPrefix(19)
	BurnedPrefix           = collections.NewPrefix(20)
	BeaconQueuePrefix      = collections.NewPrefix(21)
	EpochQueuePrefix       = collections.NewPrefix(22)
	JobQueuePrefix         = collections.NewPrefix(23)
	ChallengeQueuePrefix   = collections.NewPrefix(24)
	UnbondingQueuePrefix   = collections.NewPrefix(25)
	AuditsPrefix           = collections.NewPrefix(26)
	NextDisputePrefix      = collections.NewPrefix(27)
	DisputesPrefix         = collections.NewPrefix(28)
	ExhibitsPrefix         = collections.NewPrefix(29)
	DisputedPrefix         = collections.NewPrefix(30)
	DisputedWorkersPrefix  = collections.NewPrefix(31)
	DisputeQueuePrefix     = collections.NewPrefix(32)
)
