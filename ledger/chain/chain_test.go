package chain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/chain"
)

func TestParseAmount(t *testing.T) {
	for in, want := range map[string]string{
		"0note":                    "0",
		"5note":                    "5000000000000000000",
		"0.25note":                 "250000000000000000",
		"0.000000000000000001note": "1",
		"0.001note":                "1000000000000000", "0.0755note": "75500000000000000",
		"1000anote": "1000",
		"007anote":  "7",
	} {
		got, err := chain.ParseAmount(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got.String(), in)
	}
	for _, in := range []string{
		"", "note", "5", "-5note", "+5note", "5 note", "5notes", "5NOTE", ".5note", "5.note", "1.2.3note",
		"0.5anote", "0.0000000000000000001note", "1e9note", "0x5note", "5nоte", "٥note",
		strings.Repeat("9", 1000) + "note", "5note5note",
	} {
		_, err := chain.ParseAmount(in)
		require.Error(t, err, in)
		require.Less(t, len(err.Error()), 300, in)
	}
}

func FuzzAmount(f *testing.F) {
	for _, s := range []string{"5note", "0.25note", "1000anote", "-1note", ".note"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := chain.ParseAmount(s)
		if err != nil {
			return
		}
		if v.IsNegative() {
			t.Fatalf("%q is read as %s", s, v)
		}
		again, err := chain.ParseAmount(chain.FormatAmount(v))
		if err != nil || !again.Equal(v) {
			t.Fatalf("%q is read as %s, written as %s and read as %s (%v)", s, v, chain.FormatAmount(v), again, err)
		}
	})
}

func TestFormatAmount(t *testing.T) {
	require.Equal(t, "0note", chain.FormatAmount(math.Int{}))
	require.Equal(t, "-0.5note", chain.FormatAmount(chain.Notes(1).QuoRaw(-2)))
	require.Equal(t, "1000000note", chain.FormatAmount(chain.Notes(1_000_000)))
}

func TestConfigure(t *testing.T) {
	chain.Configure()
	chain.Configure()
	addr := sdk.AccAddress(make([]byte, 20))
	require.True(t, strings.HasPrefix(addr.String(), "cantus1"))
	require.True(t, strings.HasPrefix(sdk.ValAddress(addr).String(), "cantusvaloper1"))
	require.Equal(t, chain.Notes(1), sdk.DefaultPowerReduction)
}
