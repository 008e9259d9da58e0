package desk

import (
	"fmt"
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/model/modeltest"
	"github.com/cantus-network/cantus/exact/voice"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// said is a witness of an operator for an answer.
func said(operator, answer string, st standing) *witness {
	return &witness{operator: operator, standing: st, key: answer}
}

func TestWhoIsBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		policy uint32
		ws     []*witness
		chosen int // of ws, or -1
		n      int // how many
		want   int
	}{
		"nobody asked":                   {types.Safe, nil, -1, 0, 1},
		"safe waits for its epoch":       {types.Safe, []*witness{said("a", "x", stands)}, -1, 0, 0},
		"safe takes what has settled":    {types.Safe, []*witness{said("a", "x", settled)}, 0, 1, 0},
		"safe asks again after a lie":    {types.Safe, []*witness{said("a", "x", lost)}, -1, 0, 1},
		"and waits for the second":       {types.Safe, []*witness{said("a", "x", lost), said("b", "y", waits)}, -1, 0, 0},
		"optimistic waits for the epoch": {types.Optimistic, []*witness{said("a", "x", waits)}, -1, 0, 0},
		"optimistic takes a committed":   {types.Optimistic, []*witness{said("a", "x", lost), said("a", "x", stands)}, 1, 1, 0},
		"two of one operator are one":    {2, []*witness{said("a", "x", stands), said("a", "x", stands)}, -1, 0, 1},
		"two that differ":                {2, []*witness{said("a", "x", stands), said("b", "y", stands)}, -1, 0, 1},
		"two that agree":                 {2, []*witness{said("a", "x", stands), said("b", "x", settled)}, 0, 2, 0},
		"one of them is not committed":   {2, []*witness{said("a", "x", stands), said("b", "x", waits)}, -1, 0, 0},
		"three, and one lied":            {3, []*witness{said("a", "x", stands), said("b", "y", stands), said("c", "x", stands)}, -1, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, want := choose(c.policy, c.ws)
			require.Equal(t, c.want, want)
			require.Len(t, chosen, c.n)
			if c.chosen >= 0 {
				require.Same(t, c.ws[c.chosen], chosen[0])
			}
		})
	}
}

func TestOffersFitTheirModels(t *testing.T) {
	v, err := voice.New([32]byte{1}, modeltest.Vocabulary(), voice.Plain(modeltest.Vocabulary()))
	require.NoError(t, err)
	key, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	p := Prices{Price: math.NewInt(5), DeliveryFee: math.NewInt(7), PromptUnits: 2, OutputUnits: 3, AuditBps: 10_000, Epoch: 1, Expiry: 100}
	for _, context := range []int{16, 512, 1 << 17} {
		t.Run(fmt.Sprint(context), func(t *testing.T) {
			m, spec, err := Offer("gateway", "", key.Public(), v, context, p)
			require.NoError(t, err)
			require.NoError(t, m.ValidateBasic())
			require.LessOrEqual(t, v.Speaker().MostTokens(int(m.Terms.MaxPromptBytes))+int(m.Terms.MaxTokens), context, "a byte may be a token")
			require.Equal(t, v.Encoded(), m.Speaker)
			digest := artifact.Sum(spec)
			require.Equal(t, digest[:], m.Terms.SpecDigest)
			s, err := tab.Decode(spec)
			require.NoError(t, err)
			require.Equal(t, key.Public(), s.Key, "nobody else makes API keys of its jobs")
			require.Equal(t, m.Terms.Units(v.Speaker().MostTokens(int(m.Terms.MaxPromptBytes)), int(m.Terms.MaxTokens)), s.MaxUnits)
			// It follows from what the ledger has.
			again, err := specOf(v.Speaker(), m.Terms, key.Public())
			require.NoError(t, err)
			require.Equal(t, spec, again)
		})
	}
	p.MaxTokens, p.MaxPrompt = 500, 20
	_, _, err = Offer("gateway", "", key.Public(), v, 512, p)
	require.ErrorIs(t, err, ErrModel)
}
