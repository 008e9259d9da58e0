package types

// Events, one for each step, so that gateways, auditors and clients can follow the
// market. Amounts are in anote, keys and digests in lower-case hexadecimal, addresses in
// bech32, everything else in decimal.
const (
	EventOperator        = "work_operator_registered" // operator
	EventWorkerEnrolled  = "work_worker_enrolled"     // worker, operator, amount
	EventWorkerUpdated   = "work_worker_updated"      // worker, operator, status
	EventWorkerUnbonding = "work_worker_unbonding"    // worker, operator, height
	EventWorkerReleased  = "work_worker_released"     // worker, operator, amount
	EventWorkerSlashed   = "work_worker_slashed"      // worker, operator, amount, reason
	EventGateway         = "work_gateway_registered"  // gateway, amount
	EventGatewayUpdated  = "work_gateway_updated"     // gateway, status
	EventGatewayUnbond   = "work_gateway_unbonding"   // gateway, height
	EventGatewayReleased = "work_gateway_released"    // gateway, amount
	EventGatewaySlashed  = "work_gateway_slashed"     // gateway, job, amount, reason
	EventCells           = "work_cells_set"           // gateway
	EventBond            = "work_bond_added"          // worker or gateway, amount
	EventJobOpened       = "work_job_opened"          // job, buyer, gateway, cell, kind, amount
	EventJobToppedUp     = "work_job_topped_up"       // job, amount
	EventJobClosing      = "work_job_closing"         // job, gateway, reason
	EventJobClosed       = "work_job_closed"          // job, gateway, amount (refunded)
	EventJobFaulted      = "work_job_faulted"         // job, gateway, reason, amount (refunded)
	EventEpochCommitted  = "work_epoch_committed"     // job, epoch, gateway, units
	EventEpochSampled    = "work_epoch_sampled"       // job, epoch, gateway, samples, height (deadline)
	EventSampleOpened    = "work_sample_opened"       // job, epoch, sample, worker, status, height (deadline)
	EventAuditorDrawn    = "work_auditor_drawn"       // job, epoch, sample, worker (the auditor)
	EventVerdict         = "work_verdict_committed"   // job, epoch, sample, worker (the auditor)
	EventRevealing       = "work_sample_revealing"    // job, epoch, sample, height (deadline)
	EventRevealed        = "work_verdict_revealed"    // job, epoch, sample, worker, outcome
	EventSampleDecided   = "work_sample_decided"      // job, epoch, sample, worker, status
	EventEpochDecided    = "work_epoch_decided"       // job, epoch, height (earliest settlement)
	EventPlantsShown     = "work_plants_shown"        // job, epoch, gateway, plants (their number), units
	EventPlantPassed     = "work_plant_passed"        // job, epoch, sample, worker (the auditor)
	EventEpochSettled    = "work_epoch_settled"       // job, epoch, units (without the plants'), label, root
	EventEpochVoid       = "work_epoch_void"          // job, epoch
	EventClaimed         = "work_claimed"             // job, worker, operator, units, amount
	EventForfeited       = "work_forfeited"           // job, worker, amount (to the buyer)
	EventChallenge       = "work_challenge_opened"    // challenge, job, worker, epoch, units, height (deadline)
	EventAnswered        = "work_challenge_answered"  // challenge, job, worker
	EventUpheld          = "work_challenge_upheld"    // challenge, job, worker, amount (from the bond)
	EventShortfall       = "work_shortfall_paid"      // job, worker, amount (from the bond)
	EventDuplicate       = "work_duplicate_proved"    // job, task, challenger, amount (reward)
	EventMeasured        = "work_sample_measured"     // job, epoch, sample, worker, kind, score (what was added)
	EventDispute         = "work_dispute_opened"      // dispute, job, epoch, worker, challenger, amount (deposit), height (deadline)
	EventDisputeAnswered = "work_dispute_answered"    // dispute, worker, root (of the worker's trace)
	EventDisputeShown    = "work_dispute_shown"       // dispute, level, node, party (worker or challenger)
	EventDisputeMoved    = "work_dispute_moved"       // dispute, status, level, node, height (deadline)
	EventDisputeEnded    = "work_dispute_ended"       // dispute, job, epoch, worker, challenger, status, reason
	EventBurned          = "work_burned"              // amount, reason
	EventStuck           = "work_stuck"               // job, reason: a step failed and is tried again
)

// Attributes of the events.
const (
	AttrOperator   = "operator"
	AttrWorker     = "worker"
	AttrGateway    = "gateway"
	AttrCell       = "cell"
	AttrBuyer      = "buyer"
	AttrJob        = "job"
	AttrKind       = "kind"
	AttrEpoch      = "epoch"
	AttrSample     = "sample"
	AttrSamples    = "samples"
	AttrPlants     = "plants"
	AttrTask       = "task"
	AttrUnits      = "units"
	AttrAmount     = "amount"
	AttrStatus     = "status"
	AttrOutcome    = "outcome"
	AttrLabel      = "label"
	AttrRoot       = "root"
	AttrHeight     = "height"
	AttrChallenge  = "challenge"
	AttrChallenger = "challenger"
	AttrDispute    = "dispute"
	AttrScore      = "score"
	AttrLevel      = "level"
	AttrNode       = "node"
	AttrParty      = "party"
	AttrReason     = "reason"
)
