package lineage

import (
	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"
)

// AutoCLIOptions describes the module's commands.
func (AppModule) AutoCLIOptions() *autocliv1.ModuleOptions {
	return &autocliv1.ModuleOptions{
		Query: &autocliv1.ServiceCommandDescriptor{
			Service: "cantus.lineage.v1.Query",
			Short:   "Read the register of artifacts: what exists, whose it is, what it was made from",
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "Params", Use: "params", Short: "Show the register's rules"},
				{RpcMethod: "Artifact", Use: "artifact [cid]", Short: "Show an artifact, and whether something it was made from is revoked", PositionalArgs: args("cid")},
				{RpcMethod: "Artifacts", Use: "artifacts", Short: "List all artifacts, or an owner's; the newest first with --page-reverse",
					Example: "cantus query lineage artifacts --owner cantus1…"},
				{RpcMethod: "Ancestry", Use: "ancestry [cid]", Short: "List what an artifact was made from, the nearest first", PositionalArgs: args("cid")},
				{RpcMethod: "Descendants", Use: "descendants [cid]", Short: "List what was made from an artifact, the nearest first", PositionalArgs: args("cid")},
			},
		},
		Tx: &autocliv1.ServiceCommandDescriptor{
			Service: "cantus.lineage.v1.Msg",
			Short:   "Register, transfer and revoke artifacts",
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "UpdateParams", Use: "update-params [params]", Short: "Propose new rules for the register; give all of them", PositionalArgs: args("params"), GovProposal: true},
				{RpcMethod: "Register", Use: "register [cid] [type] [statement-digest] [license]", Short: "Register an artifact as yours, for good",
					Long:           "Register an artifact under its CID. The statement digest is the SHA-256 of its signed lineage statement, the licence an SPDX expression or NOASSERTION. With --job it carries the settled root and the trust label of a job that you bought and that is closed; without one it is asserted.",
					Example:        `cantus tx lineage register bafkrei… dataset 5a4b… CC-BY-4.0 --job 7 --royalty-bps 500 --parents '{"cid":"bafkrei…","role":"seeds","royalty_bps":1000}' --from ada`,
					PositionalArgs: args("cid", "type", "statement_digest", "license")},
				{RpcMethod: "Transfer", Use: "transfer [cid] [new-owner]", Short: "Give an artifact of yours, and what it earns from now on, to another account", PositionalArgs: args("cid", "new_owner")},
				{RpcMethod: "Revoke", Use: "revoke [cid] [reason]", Short: "Revoke an artifact of yours for good; what was made from it is tainted",
					Example:        `cantus tx lineage revoke bafkrei… "holds personal data" --from ada`,
					PositionalArgs: args("cid", "reason")},
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
