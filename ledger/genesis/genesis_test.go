package genesis_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
)

// example is a small network's genesis and a ring with the key "ada" in it.
func example(t testing.TB) (*genesis.Genesis, keys.Ring) {
	ring, err := keys.OpenUnencrypted(t.TempDir())
	require.NoError(t, err)
	_, err = keys.Create(ring, "ada")
	require.NoError(t, err)
	ada, err := keys.Find(ring, "ada")
	require.NoError(t, err)
	g, err := genesis.New(genesis.Network{
		ChainID: "cantus-test", EVMChainID: 777, Time: time.Unix(1_800_000_000, 0),
		Accounts: []genesis.Account{{Address: ada.Address, Amount: chain.Notes(100)}},
	})
	require.NoError(t, err)
	return g, ring
}

func raw(t testing.TB, g *genesis.Genesis) []byte {
	out, err := json.Marshal(g)
	require.NoError(t, err)
	return out
}

func TestRoundTrip(t *testing.T) {
	g, _ := example(t)
	path := filepath.Join(t.TempDir(), "deep", "genesis.json")
	require.NoError(t, genesis.Write(g, path))
	back, err := genesis.Read(path)
	require.NoError(t, err)
	require.JSONEq(t, string(raw(t, g)), string(raw(t, back)))
	id, err := genesis.EVMChainID(back)
	require.NoError(t, err)
	require.EqualValues(t, 777, id)
	has, err := genesis.HasValidators(back)
	require.NoError(t, err)
	require.False(t, has)
}

func TestMarket(t *testing.T) {
	_, err := genesis.New(genesis.Network{ChainID: "cantus-test", Market: []string{"challenge_blocks=30", "max_samples=64", "challenge_deposit=5", "min_audit_bps=50"}})
	require.NoError(t, err)
	g, err := genesis.New(genesis.Network{ChainID: "cantus-test", Market: []string{"challenge_blocks=30", "max_samples=64"}})
	require.NoError(t, err)
	var state struct {
		Work struct {
			Params struct {
				Challenge string `json:"challenge_blocks"`
				Samples   int    `json:"max_samples"`
				Open      string `json:"open_blocks"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(g.AppState, &state))
	require.Equal(t, "30", state.Work.Params.Challenge)
	require.Equal(t, 64, state.Work.Params.Samples)
	require.Equal(t, "300", state.Work.Params.Open, "the others stay")
	for _, bad := range []string{"challenge_blocks", "no_such=1", "challenge_blocks=soon", "challenge_blocks=-1", "max_samples=x", "max_samples=99999999", "auditors=-1"} {
		_, err := genesis.New(genesis.Network{ChainID: "cantus-test", Market: []string{bad}})
		require.Error(t, err, bad)
	}
}

func TestNewRefuses(t *testing.T) {
	addr := make([]byte, 20)
	for name, n := range map[string]genesis.Network{
		"no chain ID":     {},
		"path as ID":      {ChainID: "../../etc"},
		"long ID":         {ChainID: strings.Repeat("a", 49)},
		"capital ID":      {ChainID: "Cantus"},
		"negative amount": {ChainID: "cantus-x", Accounts: []genesis.Account{{Address: addr, Amount: math.NewInt(-1)}}},
		"no amount":       {ChainID: "cantus-x", Accounts: []genesis.Account{{Address: addr}}},
		"no address":      {ChainID: "cantus-x", Accounts: []genesis.Account{{Amount: math.OneInt()}}},
		"twice":           {ChainID: "cantus-x", Accounts: []genesis.Account{{Address: addr, Amount: math.OneInt()}, {Address: addr, Amount: math.OneInt()}}},
	} {
		_, err := genesis.New(n)
		require.Error(t, err, name)
	}
}

func TestParseRefuses(t *testing.T) {
	g, _ := example(t)
	good := string(raw(t, g))
	replace := func(old, new string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, new, 1)
	}
	for name, text := range map[string]string{
		"nothing":           "",
		"no JSON":           "genesis",
		"an array":          "[]",
		"null":              "null",
		"empty":             "{}",
		"cut off":           good[:len(good)/2],
		"something follows": good + "{}",
		"unknown field":     replace(`"chain_id"`, `"chain_ids":"x","chain_id"`),
		"bad chain ID":      replace("cantus-test", "Cantus Test"),
		"no app state":      replace(`"app_state"`, `"app_hash"`),
		"unknown module":    replace(`"feemarket":`, `"ibc":{},"feemarket":`),
		"missing module":    replace(`"slashing":{`, `"ledger2":{`),
		"bad EVM chain ID":  replace(`"evm_chain_id":"777"`, `"evm_chain_id":"0"`),
		"text EVM chain ID": replace(`"evm_chain_id":"777"`, `"evm_chain_id":"many"`),
		"other bond denom":  replace(`"bond_denom":"anote"`, `"bond_denom":"stake"`),
		"other coin":        replace(`"display":"note"`, `"display":"anote"`),
		"bad supply":        replace(`"supply":[{"denom":"anote","amount":"100`, `"supply":[{"denom":"anote","amount":"200`),
		"text height":       replace(`"initial_height":1`, `"initial_height":"one"`),
		"negative height":   replace(`"initial_height":1`, `"initial_height":-1`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := genesis.Parse([]byte(text))
			require.ErrorIs(t, err, genesis.ErrInvalid)
			require.NotContains(t, err.Error(), "goroutine")
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := genesis.Read(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestStake(t *testing.T) {
	g, ring := example(t)
	voting := cmted25519.GenPrivKey().PubKey().(cmted25519.PubKey)
	sign := func(operator string, amount math.Int) (json.RawMessage, error) {
		return genesis.SignStake(t.Context(), g, ring, genesis.Stake{Operator: operator, ConsensusKey: voting, Amount: amount})
	}
	_, err := sign("nobody", chain.Notes(1))
	require.Error(t, err)
	_, err = sign("ada", math.OneInt())
	require.ErrorContains(t, err, "at least 1note")
	tooMuch, err := sign("ada", chain.Notes(100))
	require.NoError(t, err)
	require.ErrorContains(t, genesis.AddStake(g, tooMuch), "cannot pay")
	good, err := sign("ada", chain.Notes(99))
	require.NoError(t, err)
	require.NoError(t, genesis.AddStake(g, good))
	require.ErrorContains(t, genesis.AddStake(g, good), "already")
	has, err := genesis.HasValidators(g)
	require.NoError(t, err)
	require.True(t, has)
	_, err = genesis.Parse(raw(t, g))
	require.NoError(t, err)
	for _, bad := range []string{"", "{}", "null", `{"body":{"messages":[]}}`, `[1]`} {
		require.Error(t, genesis.AddStake(g, json.RawMessage(bad)), bad)
	}
}

func FuzzParse(f *testing.F) {
	g, _ := example(f)
	f.Add(raw(f, g))
	f.Add([]byte("{}"))
	f.Add([]byte(`{"chain_id":"cantus-x","consensus":{},"app_state":{"bank":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := genesis.Parse(b); err == nil {
			if _, err := genesis.EVMChainID(g); err != nil {
				t.Fatalf("a file that was accepted: %v", err)
			}
		}
	})
}
