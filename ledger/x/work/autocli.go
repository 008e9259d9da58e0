package work

import (
	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"
)

// AutoCLIOptions describes the module's commands. What carries proofs or many signatures
// is left to the programs that make them.
func (AppModule) AutoCLIOptions() *autocliv1.ModuleOptions {
	return &autocliv1.ModuleOptions{
		Query: &autocliv1.ServiceCommandDescriptor{
			Service: "cantus.work.v1.Query",
			Short:   "Read the work market: jobs, epochs, workers, gateways",
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "Params", Use: "params", Short: "Show the market's rules"},
				{RpcMethod: "Operator", Use: "operator [address]", Short: "Show an operator", PositionalArgs: args("address")},
				{RpcMethod: "Operators", Use: "operators", Short: "List the operators"},
				{RpcMethod: "Worker", Use: "worker [key]", Short: "Show a worker by its key in hexadecimal", PositionalArgs: args("key")},
				{RpcMethod: "Workers", Use: "workers", Short: "List the workers: all, an operator's, or the active ones of a kind",
					Example: "cantus query work workers --kind crawl/1"},
				{RpcMethod: "Audits", Use: "audits [worker]", Short: "List the audits that a worker was drawn for and that are not decided", PositionalArgs: args("worker")},
				{RpcMethod: "Gateway", Use: "gateway [address]", Short: "Show a gateway", PositionalArgs: args("address")},
				{RpcMethod: "Gateways", Use: "gateways", Short: "List the gateways"},
				{RpcMethod: "Job", Use: "job [id]", Short: "Show a job: its terms, its progress, where its escrow went", PositionalArgs: args("id")},
				{RpcMethod: "Jobs", Use: "jobs", Short: "List the jobs, the newest first with --page-reverse",
					Example: "cantus query work jobs --buyer cantus1… --live"},
				{RpcMethod: "Epoch", Use: "epoch [job] [number]", Short: "Show an epoch: its roots, its samples, what the auditors said", PositionalArgs: args("job", "number")},
				{RpcMethod: "Epochs", Use: "epochs [job]", Short: "List a job's epochs", PositionalArgs: args("job")},
				{RpcMethod: "Claimed", Use: "claimed [job] [worker]", Short: "Show what a worker was paid for in a job", PositionalArgs: args("job", "worker")},
				{RpcMethod: "Claims", Use: "claims [job]", Short: "List what each worker of a job was paid for", PositionalArgs: args("job")},
				{RpcMethod: "Challenges", Use: "challenges", Short: "List the voucher challenges that are open, all or a job's"},
				{RpcMethod: "Dispute", Use: "dispute [id]", Short: "Show a dispute: who is at which step, or how it ended", PositionalArgs: args("id")},
				{RpcMethod: "Disputes", Use: "disputes", Short: "List the disputes: all, or the open ones, also about a worker's or a job's receipts",
					Example: "cantus query work disputes --open"},
				{RpcMethod: "Invariants", Use: "invariants", Short: "Check the books: what the module holds against what it owes",
					Long: "Check the books: escrow, bonds, deposits and what is payable against what the module's accounts hold, and every job's sums to the last anote. It reads all of the market's state."},
			},
		},
		Tx: &autocliv1.ServiceCommandDescriptor{
			Service: "cantus.work.v1.Msg",
			Short:   "Take part in the work market",
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "UpdateParams", Use: "update-params [params]", Short: "Propose new rules for the market; give all of them", PositionalArgs: args("params"), GovProposal: true},
				{RpcMethod: "RegisterOperator", Use: "register-operator", Short: "Become an operator, or change what you say of yourself",
					Example: `cantus tx work register-operator --moniker "Ada's rack" --from ada`},
				{RpcMethod: "UpdateWorker", Use: "update-worker [key]", Short: "Pause a worker, activate it, or change its kinds, network or region",
					Long:           "Change a worker that you operate. What you don't name stays as it is. A worker whose kinds or network change, or that becomes active, audits only what is committed from then on.",
					Example:        "cantus tx work update-worker 5a4b… --status paused --from ada",
					PositionalArgs: args("key")},
				{RpcMethod: "UnbondWorkers", Use: "unbond-workers [keys...]", Short: "Retire workers; their bonds come back after the unbonding time", PositionalArgs: variadic("keys")},
				{RpcMethod: "UpdateGateway", Use: "update-gateway [fee-bps]", Short: "Set your gateway's fee for jobs to come, and its URL or status",
					Example:        "cantus tx work update-gateway 500 --status active --from gate",
					PositionalArgs: args("fee_bps")},
				{RpcMethod: "UnbondGateway", Use: "unbond-gateway", Short: "Retire your gateway once its jobs are closed; its bond comes back after the unbonding time"},
				{RpcMethod: "SetCells", Use: "set-cells [cells...]", Short: "Replace the list of your gateway's cells, each as JSON",
					Long:           "Replace the list of your gateway's cells: processes with their own URL and account, among which its workers and jobs are divided. Name all of them; a cell whose jobs are not closed can't be left out. Without cells the gateway is one process.",
					Example:        `cantus tx work set-cells '{"name":"a","url":"https://a.example.org","address":"cantus1…"}' --from gate`,
					PositionalArgs: variadic("cells")},
				{RpcMethod: "TopUpBond", Use: "top-up-bond [amount]", Short: "Add anote to a worker's bond (--worker), or to your gateway's", PositionalArgs: args("amount")},
				{RpcMethod: "OpenJob", Use: "open-job [gateway] [kind] [spec-digest] [escrow] [price]", Short: "Open a job: lock up an escrow for work at a price per unit",
					Long:           "Open a job with a gateway. Escrow and price are in anote; the gateway must be given the spec whose SHA-256 digest you name. What the work does not use is refunded when the job closes.",
					PositionalArgs: args("gateway", "kind", "spec_digest", "escrow", "price")},
				{RpcMethod: "TopUpJob", Use: "top-up-job [job] [amount]", Short: "Add anote to the escrow of an open job of yours", PositionalArgs: args("job", "amount")},
				{RpcMethod: "CloseJob", Use: "close-job [job]", Short: "End a job of yours: no new work; what was done is still paid, the rest refunded", PositionalArgs: args("job")},
				{RpcMethod: "FinishJob", Use: "finish-job [job]", Short: "As its gateway, say that no epoch of a job follows", PositionalArgs: args("job")},
				{RpcMethod: "ChallengeVoucher", Use: "challenge-voucher [voucher]", Short: "Hold a gateway to a voucher that it has not honoured", PositionalArgs: args("voucher"),
					Long: "Hold a gateway to a voucher (canonical CBOR, in base64 or hexadecimal). You put down a deposit. If the gateway shows in time that it committed the units, the deposit is its; if not, the worker is paid from the gateway's bond and you get the deposit back."},
				{RpcMethod: "Contradict", Use: "contradict [dispute] [position] [opening]", Short: "Show that a worker's own trace gives another result than its receipt", PositionalArgs: args("dispute", "position", "opening")},
				{RpcMethod: "Decide", Use: "decide [dispute] [opening]", Short: "Open the step that a dispute is at, for the ledger to compute", PositionalArgs: args("dispute", "opening")},
				{RpcMethod: "EnrollWorkers", Skip: true},
				{RpcMethod: "RegisterGateway", Skip: true},
				{RpcMethod: "CommitEpoch", Skip: true},
				{RpcMethod: "OpenReceipts", Skip: true},
				{RpcMethod: "CommitVerdicts", Skip: true},
				{RpcMethod: "RevealVerdicts", Skip: true},
				{RpcMethod: "RevealPlants", Skip: true},
				{RpcMethod: "Claim", Skip: true},
				{RpcMethod: "AnswerChallenge", Skip: true},
				{RpcMethod: "ChallengeDuplicate", Skip: true},
				{RpcMethod: "OpenDispute", Skip: true},
				{RpcMethod: "AnswerDispute", Skip: true},
				{RpcMethod: "Descend", Skip: true},
			},
		},
	}
}

func args(fields ...string) []*autocliv1.PositionalArgDescriptor {
	out := make([]*autocliv1.PositionalArgDescriptor, len(fields))
	for i, f := range fields {
		out[i] = &autocliv1.PositionalArgDescriptor{ProtoField: f}
	}
	return out
}

func variadic(field string) []*autocliv1.PositionalArgDescriptor {
	return []*autocliv1.PositionalArgDescriptor{{ProtoField: field, Varargs: true}}
}
