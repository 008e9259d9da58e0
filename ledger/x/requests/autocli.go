package requests

import (
	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"
)

// AutoCLIOptions describes the module's commands. Offers carry an encoded speaker and are left
// to the programs that make them; requests are made through the precompiled contract.
func (AppModule) AutoCLIOptions() *autocliv1.ModuleOptions {
	return &autocliv1.ModuleOptions{
		Query: &autocliv1.ServiceCommandDescriptor{
			Service: "cantus.requests.v1.Query",
			Short:   "Read what contracts asked models: offers, requests, answers",
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "Params", Use: "params", Short: "Show the rules of requests"},
				{RpcMethod: "Speaker", Use: "speaker [id]", Short: "Show a speaker by its ID in hexadecimal, and who offers to answer for it", PositionalArgs: args("id")},
				{RpcMethod: "Offers", Use: "offers", Short: "List the offers: all, or a gateway's", Example: "cantus query requests offers --gateway cantus1…"},
				{RpcMethod: "Request", Use: "request [id]", Short: "Show a request: what was asked, how it stands, where its fee went", PositionalArgs: args("id")},
				{RpcMethod: "Requests", Use: "requests", Short: "List the requests: all, or a payer's or a gateway's that are not over",
					Example: "cantus query requests requests --payer cantus1…"},
				{RpcMethod: "RequestOfJob", Use: "request-of-job [job]", Short: "Show the request that a job was opened for", PositionalArgs: args("job")},
				{RpcMethod: "Quote", Use: "quote [speaker] [prompt-bytes] [max-tokens]", Short: "Show what a request would cost now",
					Example:        "cantus query requests quote 0x5a4b… 200 64 --callback-gas 100000 --policy 1",
					PositionalArgs: args("speaker", "prompt_bytes", "max_tokens")},
				{RpcMethod: "Invariants", Use: "invariants", Short: "Check the books: what the module holds against what its requests say",
					Long: "Check the books: what requests that are not over hold against what the module's account has, and every request's sums to the last anote. It reads all of the module's state."},
			},
		},
		Tx: &autocliv1.ServiceCommandDescriptor{
			Service: "cantus.requests.v1.Msg",
			Short:   "Offer to answer contracts' requests",
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "UpdateParams", Use: "update-params [params]", Short: "Propose new rules for requests; give all of them", PositionalArgs: args("params"), GovProposal: true},
				{RpcMethod: "Offer", Skip: true},
				{RpcMethod: "WithdrawOffer", Use: "withdraw-offer [speaker]", Short: "Withdraw your gateway's offer for a speaker; requests that took it are still answered", PositionalArgs: args("speaker")},
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
