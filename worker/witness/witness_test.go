package witness_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// A key and its address as Ethereum's own tools give them: Hardhat's well-known first
// account, 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266.
const (
	knownKey     = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
	knownAddress = "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
)

func TestAddressIsEthereums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "account.key")
	require.NoError(t, os.WriteFile(path, []byte(knownKey+"\n"), 0o600))
	a, err := witness.LoadAccount(path)
	require.NoError(t, err)
	require.Equal(t, knownAddress, hex.EncodeToString(unbech32(t, a.Address())))
	require.NotContains(t, fmt.Sprint(a), knownKey[:8])
	require.NotContains(t, fmt.Sprintf("%+v", a), knownKey[:8])
}

// unbech32 reads the bytes of an address, with its own code.
func unbech32(t *testing.T, s string) []byte {
	digits := "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	data := s[strings.LastIndexByte(s, '1')+1:]
	n := new(big.Int)
	for _, c := range data[:len(data)-6] {
		i := strings.IndexRune(digits, c)
		require.GreaterOrEqual(t, i, 0)
		n.Lsh(n, 5).Or(n, big.NewInt(int64(i)))
	}
	return n.FillBytes(make([]byte, 20))
}

func TestAccountFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "home", "account.key")
	_, err := witness.LoadAccount(path)
	require.ErrorIs(t, err, witness.ErrNoAccount)
	a, err := witness.EnsureAccount(path)
	require.NoError(t, err)
	require.NoError(t, witness.CheckAddress(a.Address()))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	b, err := witness.EnsureAccount(path)
	require.NoError(t, err)
	require.Equal(t, a.Address(), b.Address())
	_, err = witness.CreateAccount(path)
	require.ErrorIs(t, err, os.ErrExist)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = witness.LoadAccount(path)
	require.ErrorContains(t, err, "chmod 600")
	for _, bad := range []string{"", "x", strings.Repeat("0", 64), strings.Repeat("f", 64), knownKey + "00"} {
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o600))
		require.NoError(t, os.Chmod(path, 0o600))
		_, err = witness.LoadAccount(path)
		require.ErrorContains(t, err, "not an account key")
	}
}

func TestCheckAddress(t *testing.T) {
	const good = "cantus1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnkh99gq"
	require.NoError(t, witness.CheckAddress(good))
	for _, bad := range []string{"", "cantus1", "cosmos1" + good[7:], good[:len(good)-1], good[:len(good)-1] + "p", strings.ToUpper(good), good + good} {
		require.Error(t, witness.CheckAddress(bad), "%s", bad)
	}
}

func serve(t *testing.T, answer func(path string, body []byte) (int, string)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		code, text := answer(strings.TrimPrefix(r.URL.Path, "/"), b)
		w.WriteHeader(code)
		io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Answers that a worker must not act on are errors.
func TestStrange(t *testing.T) {
	var code int
	var text string
	l, err := witness.New(witness.Options{URLs: []string{serve(t, func(string, []byte) (int, string) { return code, text })}})
	require.NoError(t, err)
	ctx := t.Context()
	for _, c := range []struct {
		code int
		text string
		want error
	}{
		{200, "", witness.ErrAnswer},
		{200, "<html>", witness.ErrAnswer},
		{200, "{}", witness.ErrAnswer},
		{200, `{"job":{"id":"2","status":"JOB_STATUS_OPEN"}}`, witness.ErrAnswer},
		{200, `{"job":{"id":"1","status":"JOB_STATUS_SOMETHING"}}`, witness.ErrAnswer},
		{200, `{"job":{"id":"1","status":"JOB_STATUS_OPEN","epochs":"-1"}}`, witness.ErrAnswer},
		{200, `{"job":{"id":"1","status":"JOB_STATUS_OPEN","epochs":"1","epochs_settled":"2"}}`, witness.ErrAnswer},
		{200, `{"job":{"id":"1e3","status":"JOB_STATUS_OPEN"}}`, witness.ErrAnswer},
		{200, `"` + strings.Repeat("x", 9<<20) + `"`, witness.ErrAnswer},
		{404, `{"code":5,"message":"no job 1"}`, witness.ErrNotFound},
		{404, "404 page not found", witness.ErrUnreachable},
		{502, "<html>", witness.ErrUnreachable},
		{503, `{"code":14,"message":"not now"}`, witness.ErrUnreachable},
		{301, "", witness.ErrUnreachable},
	} {
		code, text = c.code, c.text
		_, err := l.Job(ctx, 1)
		require.ErrorIs(t, err, c.want, "%d %.80s", c.code, c.text)
	}
	code, text = 400, `{"code":3,"message":"no\nsecond line"}`
	_, err = l.Job(ctx, 1)
	refused := new(witness.Refused)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "no", refused.Text)
}

// Several nodes: the first that answers counts, and is asked first from then on.
func TestNodes(t *testing.T) {
	const job = `{"job":{"id":"1","gateway":"x","status":"JOB_STATUS_CLOSING","epochs":"3","epochs_settled":"2","finished":true,"closing_height":"9"}}`
	asked := [2]int{}
	away := serve(t, func(string, []byte) (int, string) { asked[0]++; return 502, "" })
	here := serve(t, func(string, []byte) (int, string) { asked[1]++; return 200, job })
	l, err := witness.New(witness.Options{URLs: []string{away, here}})
	require.NoError(t, err)
	for range 3 {
		j, err := l.Job(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, witness.Job{ID: 1, Gateway: "x", Status: work.JobClosing, Epochs: 3, Settled: 2, Finished: true, ClosingHeight: 9}, j)
		require.False(t, j.MayCommit(9, witness.Params{GraceBlocks: 5}))
	}
	require.Equal(t, [2]int{1, 3}, asked)
	for _, bad := range [][]string{nil, {"node"}, {"ftp://node"}, {"http://node.example"}, {"https://node.example?x=1"}, make([]string, 9)} {
		_, err := witness.New(witness.Options{URLs: bad})
		require.Error(t, err, "%v", bad)
	}
}

// sender is a node that takes transactions.
func sender(t *testing.T, simulate, broadcast, find func(n int) (int, string)) (*witness.Ledger, *[][]byte) {
	account, err := witness.EnsureAccount(filepath.Join(t.TempDir(), "account.key"))
	require.NoError(t, err)
	var sent [][]byte
	var finds, simulations int
	url := serve(t, func(path string, body []byte) (int, string) {
		switch {
		case strings.HasSuffix(path, "node_info"):
			return 200, `{"default_node_info":{"network":"test-1"}}`
		case strings.HasSuffix(path, "status"):
			return 200, `{"height":"7"}`
		case strings.Contains(path, "accounts"):
			return 200, fmt.Sprintf(`{"account":{"address":"%s","account_number":"3","sequence":"%d"}}`, account.Address(), len(sent))
		case strings.HasSuffix(path, "base_fee"):
			return 200, `{"base_fee":"1000000000.5"}`
		case strings.HasSuffix(path, "simulate"):
			simulations++
			return simulate(simulations)
		case strings.HasSuffix(path, "/txs"):
			sent = append(sent, body)
			return broadcast(len(sent))
		}
		finds++
		return find(finds)
	})
	l, err := witness.New(witness.Options{URLs: []string{url}, Account: account, ConfirmTime: 500 * time.Millisecond})
	require.NoError(t, err)
	return l, &sent
}

func always(code int, text string) func(int) (int, string) {
	return func(int) (int, string) { return code, text }
}

func TestSend(t *testing.T) {
	fine, taken := always(200, `{"gas_info":{"gas_used":"100"}}`), always(200, `{"tx_response":{"code":0}}`)
	absent := always(404, `{"code":5,"message":"tx not found"}`)
	msg := witness.Exec("me", witness.ChallengeVoucher("you", []byte{1}))
	ctx := t.Context()

	l, sent := sender(t, fine, taken, func(n int) (int, string) {
		if n < 3 {
			return absent(n)
		}
		return taken(n)
	})
	require.NoError(t, l.Send(ctx, "payer", msg))
	require.Len(t, *sent, 1)

	// A sequence that was taken is asked for anew, in the simulation and after it.
	l, sent = sender(t, func(n int) (int, string) {
		if n == 1 {
			return 400, `{"code":2,"message":"account sequence mismatch, expected 1, got 0"}`
		}
		return fine(n)
	}, func(n int) (int, string) {
		if n == 1 {
			return 200, `{"tx_response":{"code":32,"raw_log":"account sequence mismatch"}}`
		}
		return taken(n)
	}, taken)
	require.NoError(t, l.Send(ctx, "payer", msg))
	require.Len(t, *sent, 2)

	// Gas that ran out is doubled; another module's code of that number is something else.
	outOfGas := func(space string) func(int) (int, string) {
		return func(n int) (int, string) {
			if n == 1 {
				return 200, fmt.Sprintf(`{"tx_response":{"codespace":%q,"code":11,"raw_log":"out of gas"}}`, space)
			}
			return taken(n)
		}
	}
	l, sent = sender(t, fine, taken, outOfGas("sdk"))
	require.NoError(t, l.Send(ctx, "payer", msg))
	require.Len(t, *sent, 2)
	l, sent = sender(t, fine, taken, outOfGas("work"))
	require.Error(t, l.Send(ctx, "payer", msg))
	require.Len(t, *sent, 1)

	refused := new(witness.Refused)
	l, sent = sender(t, always(400, `{"code":2,"message":"nothing to do"}`), taken, taken)
	require.ErrorAs(t, l.Send(ctx, "payer", msg), &refused)
	require.Empty(t, *sent, "what can't succeed costs no fee")
	l, _ = sender(t, fine, always(200, `{"tx_response":{"code":13,"raw_log":"insufficient fee"}}`), taken)
	require.ErrorAs(t, l.Send(ctx, "payer", msg), &refused)
	l, _ = sender(t, fine, taken, always(200, `{"tx_response":{"code":9,"raw_log":"failed"}}`))
	require.ErrorAs(t, l.Send(ctx, "payer", msg), &refused)
	l, _ = sender(t, fine, taken, absent)
	require.ErrorIs(t, l.Send(ctx, "payer", msg), witness.ErrUnconfirmed)
	l, _ = sender(t, always(200, `{"gas_info":{"gas_used":"99999999999"}}`), taken, taken)
	require.ErrorIs(t, l.Send(ctx, "payer", msg), witness.ErrAnswer)

	// A fee that a lying node makes up is not paid.
	account, err := witness.EnsureAccount(filepath.Join(t.TempDir(), "account.key"))
	require.NoError(t, err)
	url := serve(t, func(path string, _ []byte) (int, string) {
		switch {
		case strings.HasSuffix(path, "node_info"):
			return 200, `{"default_node_info":{"network":"test-1"}}`
		case strings.HasSuffix(path, "status"):
			return 200, `{"height":"7"}`
		case strings.Contains(path, "accounts"):
			return 200, fmt.Sprintf(`{"account":{"address":"%s","account_number":"3","sequence":"0"}}`, account.Address())
		case strings.HasSuffix(path, "base_fee"):
			return 200, `{"base_fee":"1000000000000000000"}`
		case strings.HasSuffix(path, "simulate"):
			return fine(1)
		}
		return 500, "it was sent"
	})
	l, err = witness.New(witness.Options{URLs: []string{url}, Account: account})
	require.NoError(t, err)
	require.ErrorIs(t, l.Send(ctx, "payer", msg), witness.ErrFee)

	l, err = witness.New(witness.Options{URLs: []string{url}})
	require.NoError(t, err)
	require.ErrorIs(t, l.Send(ctx, "payer", msg), witness.ErrNoAccount)
}

// FuzzRecords feeds nonsense to everything that reads a node's answers.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		`{"job":{"id":"1","status":"JOB_STATUS_OPEN","epochs":"1"}}`,
		`{"epoch":{"job":"1","number":"1","receipts_root":"","pay_root":"","samples":[{"slots":[{}]}]}}`,
		`{"claimed":{"units":"1"}}`, `{"worker":{"operator":"cantus1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnkh99gq"}}`,
		`{"gateway":{"key":"","cells":[{"name":"a"}]}}`, `{"challenges":[{"job":"1","worker":"AA=="}]}`,
		`{"params":{"verdict_commit_blocks":"1"}}`,
		`{"audits":[{"job":"1","epoch":"1","sample":2,"status":"SAMPLE_STATUS_OPENED","deadline":"9","gateway":"cantus1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnkh99gq","gateway_key":"AQ==","cell":"a","url":"https://x"}]}`, `{"code":5,"message":"x"}`, `{"base_fee":"1e9"}`,
		`{"disputes":[{"id":"1","job":"1","epoch":"1","worker":"AQ==","challenger":"cantus1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnkh99gq","status":"DISPUTE_STATUS_ASKED","kind":"infer/1","challenger_root":"","level":3,"node":"1"}]}`,
		`{"dispute":{"id":"1","status":"DISPUTE_STATUS_WON"},"exhibit":{"task":"AQ=="}}`,
	} {
		f.Add([]byte(seed), uint16(200))
	}
	f.Fuzz(func(t *testing.T, body []byte, code uint16) {
		l, err := witness.NewAnswering(int(code), body)
		require.NoError(t, err)
		ctx := context.Background()
		j, err := l.Job(ctx, 1)
		require.True(t, err != nil || (j.ID == 1 && j.Status != ""))
		e, err := l.Epoch(ctx, 1, 1)
		require.True(t, err != nil || (e.Job == 1 && e.Number == 1))
		p, err := l.Params(ctx)
		require.True(t, err != nil || p.GraceBlocks > 0)
		o, err := l.Operator(ctx, work.PublicKey{1})
		require.True(t, err != nil || witness.CheckAddress(o) == nil)
		_, _ = l.Claimed(ctx, 1, work.PublicKey{1})
		_, _ = l.Gateway(ctx, "cantus1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnkh99gq")
		_, _ = l.Challenged(ctx, 1, work.PublicKey{1})
		audits, err := l.Audits(ctx, work.PublicKey{1})
		require.True(t, err == nil || audits == nil)
		for _, a := range audits {
			require.True(t, !a.GatewayKey.IsZero() && len(a.URL) <= 512)
		}
		disputes, err := l.Disputes(ctx, witness.Disputed{Job: 1})
		require.True(t, err == nil || disputes == nil)
		for _, d := range disputes {
			require.True(t, d.ID > 0 && d.Job == 1 && !d.Over() && d.Kind.Check() == nil)
		}
		d, x, err := l.Dispute(ctx, 1)
		require.True(t, err != nil || d.ID == 1 && len(x.Task) <= work.MaxTask)
		_, err = l.Head(ctx)
		require.False(t, errors.Is(err, context.Canceled))
		_ = l.Send(ctx, "", witness.Exec("x"))
	})
}
