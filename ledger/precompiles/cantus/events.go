package cantus

import (
	"fmt"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/tracing"
	ethtypes "github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	ethparams "github.com/ethereum/go-ethereum/params"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// Members of ICantus.Status that no status of x/requests has the number of.
const (
	answeredDigest = 7
	finalDigest    = 8
)

// statusCode is a status as ICantus.Status: the members before answeredDigest are numbered as
// x/requests numbers them.
func statusCode(s types.Status, digested bool) uint8 {
	switch {
	case digested && s == types.Status_STATUS_ANSWERED:
		return answeredDigest
	case digested && s == types.Status_STATUS_FINAL:
		return finalDigest
	}
	return uint8(s)
}

// log emits an event, at Ethereum's price.
func (c *call) log(name string, indexed []any, data ...any) error {
	event, ok := c.abi.Events[name]
	if !ok {
		return fmt.Errorf("no event %s", name)
	}
	query := make([][]any, len(indexed))
	for i, v := range indexed {
		query[i] = []any{v}
	}
	sets, err := abi.MakeTopics(query...)
	if err != nil {
		return fmt.Errorf("topics of event %s: %w", name, err)
	}
	topics := []common.Hash{event.ID}
	for _, set := range sets {
		topics = append(topics, set[0])
	}
	packed, err := event.Inputs.NonIndexed().Pack(data...)
	if err != nil {
		return fmt.Errorf("data of event %s: %w", name, err)
	}
	gas := ethparams.LogGas + ethparams.LogTopicGas*uint64(len(topics)) + ethparams.LogDataGas*uint64(len(packed))
	if !c.contract.UseGas(gas, nil, tracing.GasChangeCallPrecompiledContract) {
		return vm.ErrOutOfGas
	}
	c.evm.StateDB.AddLog(&ethtypes.Log{
		Address: c.ContractAddress, Topics: topics, Data: packed, BlockNumber: c.evm.Context.BlockNumber.Uint64(),
	})
	return nil
}
