package genesis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cantus-network/cantus/ledger/encoding"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// setMarket changes parameters of x/work by their names in the genesis file, NAME=VALUE.
func setMarket(enc encoding.Config, p *worktypes.Params, pairs []string) error {
	raw, err := enc.Codec.MarshalJSON(p)
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		was, known := fields[name]
		if !ok || !known {
			names := make([]string, 0, len(fields))
			for n := range fields { // order-free: sorted below
				names = append(names, n)
			}
			slices.Sort(names)
			return fmt.Errorf("market parameter %.80q: want NAME=VALUE with one of %s", pair, strings.Join(names, ", "))
		}
		// Whole numbers of 64 bits and amounts are strings in the file, others are not.
		if len(was) > 0 && was[0] == '"' {
			quoted, err := json.Marshal(value)
			if err != nil {
				return err
			}
			fields[name] = quoted
		} else if fields[name] = json.RawMessage(value); !json.Valid(fields[name]) {
			return fmt.Errorf("market parameter %.80q: want a number, true or false", pair)
		}
	}
	if raw, err = json.Marshal(fields); err != nil {
		return err
	}
	var changed worktypes.Params
	if err := enc.Codec.UnmarshalJSON(raw, &changed); err != nil {
		return fmt.Errorf("market parameters %s: %w", strings.Join(pairs, " "), err)
	}
	if err := changed.Validate(); err != nil {
		return fmt.Errorf("market parameters %s: %w", strings.Join(pairs, " "), err)
	}
	*p = changed
	return nil
}
