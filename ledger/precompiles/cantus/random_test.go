package cantus_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// play mixes hostile contracts, good and bad deliveries and everything else that can be done
// to requests, several transactions to a block, and lets world.check look at the books after
// each block. The bytes of script choose what happens.
func (w *world) play(script []byte) {
	w.t.Helper()
	next := func() int {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return int(b)
	}
	targets := []common.Address{{9}, w.module("distribution"), w.module(held), precompile, w.accounts[0].addr()}
	// vice is what a contract does when it is called back, and to whom. None destroys itself in
	// favour of the precompile: whoever forces money on that has given it away.
	vice := func() (uint8, common.Address) {
		mode, target := uint8(next()%(invalidCode+1)), targets[next()%len(targets)]
		if mode == destroyItself && target == precompile {
			target = targets[0]
		}
		return mode, target
	}
	var askers []*deployed
	for range 3 {
		askers = append(askers, w.hostile(vice()))
	}
	for len(script) > 0 {
		var txs [][]byte
		newest := int64(w.last())
		for range 1 + next()%4 {
			h, gas := askers[next()%len(askers)], uint64(next())*5_000
			id := new(big.Int).SetInt64(max(0, newest+1-int64(next()%16)))
			fee := big.NewInt(1)
			if out, err := w.cantus().view("quote", w.model, uint32(2), uint32(4), gas, uint8(0)); err == nil {
				fee = out[0].(*big.Int)
			}
			limit := uint64(200_000 + next()*40_000)
			act := func(to common.Address, value *big.Int, data []byte) {
				txs = append(txs, w.sign(w.accounts[1+next()%2], &to, value, limit, data))
			}
			call := func(method string, args ...any) { act(h.addr, new(big.Int), h.pack(method, args...)) }
			straight := func(value *big.Int, method string, args ...any) {
				act(precompile, value, w.cantus().pack(method, args...))
			}
			switch next() % 25 {
			case 0, 1, 2:
				call("ask", gas, [...]uint8{types.Safe, types.Optimistic, types.Optimistic, 3, 6}[next()%5])
			case 3, 4, 5, 19, 20, 21:
				straight(new(big.Int), "deliver", id, []byte(fmt.Sprint("answer ", next())))
			case 6, 22, 23:
				straight(new(big.Int), "conclude", id)
			case 7:
				call("cancel", id)
			case 8:
				call("storm", big.NewInt(int64(next()%24)), fee, gas)
			case 9:
				call("storming", big.NewInt(int64(next()%24)), fee, gas)
			case 10:
				call("askAround", gas)
			case 11:
				call("askMismatched", fee, new(big.Int).Add(fee, big.NewInt(int64(next()%3-1))))
			case 12:
				call("askDelegated", fee)
			case 13:
				call("askCallcode", fee)
			case 14:
				call("mayfly", fee)
			case 15:
				call("shortlived")
			case 16:
				mode, target := vice()
				call("set", mode, w.model, target)
			case 17:
				call("give", big.NewInt(int64(next())))
			case 18:
				straight(fee, "request", w.model, []byte("hi"), struct {
					MaxTokens, Temperature, TopK, TopP uint32
					Seed                               uint64
				}{MaxTokens: 4}, fee, h.addr, gas, uint8(next()%7))
			case 24:
				straight(fee, "fetch", "https://a.example/", next()%2 == 0, fee, h.addr, gas, uint8(next()%7))
			}
		}
		w.block(txs...)
		require.Zero(w.t, w.balance(precompile).Sign(), "nothing stays with the precompile")
	}
}

// finish ends every request that is not over, whatever its callback does: none holds anything
// then. Callbacks may ask anew; that is for the next time.
func (w *world) finish() {
	w.t.Helper()
	var waiting [][]byte
	conclude := func() {
		for _, r := range w.block(waiting...) {
			require.True(w.t, w.read(r).ok, "%s", r.Log)
		}
		waiting = nil
	}
	last := w.last()
	for id := uint64(1); id <= last; id++ {
		if s := w.status(id); s == types.Status_STATUS_OPEN || s == types.Status_STATUS_ANSWERED {
			waiting = append(waiting, w.sign(w.accounts[2], &precompile, new(big.Int), plenty, w.cantus().pack("conclude", new(big.Int).SetUint64(id))))
			if len(waiting) == 7 {
				conclude()
			}
		}
	}
	conclude()
	ends, ctx := map[types.Status]int{}, w.ctx()
	for id := uint64(1); id <= last; id++ {
		r, err := w.requests.Lookup(ctx, id)
		require.NoError(w.t, err)
		require.True(w.t, r.Held.IsZero(), "request %d", id)
		ends[r.Status]++
	}
	w.t.Logf("%d blocks; requests by how they ended: %v", w.height, ends)
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestRandomPlays plays scripts that nobody wrote.
func TestRandomPlays(t *testing.T) {
	w := newWorld(t)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w.t = t
			r := rand.New(rand.NewPCG(seed, 42))
			w.play(noise(r, 600))
			w.finish()
		})
	}
}

func FuzzPlay(f *testing.F) {
	f.Add([]byte{5, 0, 10, 0, 9, 1, 3, 0, 40, 1, 200, 0, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newWorld(t)
		w.play(script[:min(len(script), 300)])
		w.finish()
	})
}
