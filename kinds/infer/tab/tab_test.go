package tab_test

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

func owner(t testing.TB) work.PrivateKey {
	k, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	return k
}

func spec(t testing.TB) *tab.Spec {
	return &tab.Spec{Version: tab.Version, Key: owner(t).Public(), MaxUnits: tab.DefaultMaxUnits, Models: []tab.Model{
		{Root: artifact.Digest{1}, Name: "llama-3.2-1b", PromptUnits: 1, OutputUnits: 4},
		{Root: artifact.Digest{2}, Name: "Qwen/qwen3:0.6b", PromptUnits: 2, OutputUnits: 3},
	}}
}

func TestSpecsComeBackAsTheyWere(t *testing.T) {
	want := spec(t)
	b, err := want.Encode()
	require.NoError(t, err)
	got, err := tab.Decode(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	m, ok := got.Model(artifact.Digest{2})
	require.True(t, ok)
	require.Equal(t, "Qwen/qwen3:0.6b", m.Name)
	_, ok = got.Model(artifact.Digest{3})
	require.False(t, ok)
	require.NoError(t, work.Name("infer/1").Check())
}

func TestWhatIsPaid(t *testing.T) {
	m := spec(t).Models[0]
	task := &claim.Task{Prompt: make([]uint32, 10), MaxTokens: 20}
	require.EqualValues(t, 10+80, m.Most(task))
	require.EqualValues(t, 10+80, m.Units(task, &claim.Result{Finish: claim.Length, Output: make([]uint32, 20)}))
	require.EqualValues(t, 10+4, m.Units(task, &claim.Result{Finish: claim.Cancelled, Output: make([]uint32, 1)}))
	require.Zero(t, m.Units(task, &claim.Result{Finish: claim.Cancelled}))
	require.EqualValues(t, 10, m.Units(task, &claim.Result{Finish: claim.Embedded}))
}

func TestKeysAreMintedOffline(t *testing.T) {
	id, err := tab.NewKeyID(rand.Reader)
	require.NoError(t, err)
	same, err := tab.ParseKeyID(id.String())
	require.NoError(t, err)
	require.Equal(t, id, same)
	want := tab.Key{Version: 1, Job: 9, ID: id, Limit: 1 << 40, Expires: 2_000_000_000, Label: "Anna's laptop"}
	token, err := tab.Mint(owner(t), "net-1", want)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(token, tab.Prefix))
	require.NotContains(t, token, "=")
	got, err := tab.ParseKey(token)
	require.NoError(t, err)
	require.Equal(t, want, got.Key)
	require.NoError(t, got.Verify(owner(t).Public(), "net-1"))
	require.ErrorIs(t, got.Verify(owner(t).Public(), "net-2"), tab.ErrKey)
	require.ErrorIs(t, got.Verify(work.PublicKey{1}, "net-1"), tab.ErrKey)
	require.False(t, got.Expired(time.Unix(1_999_999_999, 0)))
	require.True(t, got.Expired(time.Unix(2_000_000_000, 0)))

	for i := range token { // every character matters
		changed := []byte(token)
		if changed[i]++; changed[i] == 'z'+1 {
			changed[i] = 'A'
		}
		k, err := tab.ParseKey(string(changed))
		if err == nil {
			err = k.Verify(owner(t).Public(), "net-1")
		}
		require.ErrorIs(t, err, tab.ErrKey, "character %d", i)
	}
	for _, bad := range []tab.Key{{}, {Job: 1, Expires: -1}, {Job: 1, Label: strings.Repeat("x", 65)}, {Job: 1, Label: "a\nb"}, {Job: 1, Label: "\xff"}} {
		_, err := tab.Mint(owner(t), "net-1", bad)
		require.ErrorIs(t, err, tab.ErrKey)
	}
}

func TestRevocationsAreSigned(t *testing.T) {
	b, err := tab.Revoke(owner(t), "net-1", tab.Revocations{Job: 3, Number: 1, IDs: []tab.KeyID{{9}, {2}, {9}}})
	require.NoError(t, err)
	r, verify, err := tab.OpenRevocations(b)
	require.NoError(t, err)
	require.Equal(t, []tab.KeyID{{2}, {9}}, r.IDs)
	require.True(t, r.Has(tab.KeyID{9}))
	require.False(t, r.Has(tab.KeyID{8}))
	require.NoError(t, verify(owner(t).Public(), "net-1"))
	require.ErrorIs(t, verify(owner(t).Public(), "net-2"), tab.ErrRevocations)
	require.ErrorIs(t, verify(work.PublicKey{5}, "net-1"), tab.ErrRevocations)
	_, err = tab.Revoke(owner(t), "net-1", tab.Revocations{Job: 3, Number: 1, IDs: make([]tab.KeyID, tab.MaxRevoked+1)})
	require.NoError(t, err, "the same one again and again is one")
	_, err = tab.Revoke(owner(t), "net-1", tab.Revocations{Job: 3})
	require.ErrorIs(t, err, tab.ErrRevocations)
}

func FuzzSpec(f *testing.F) {
	b, err := spec(f).Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := tab.Decode(b)
		if err != nil {
			require.ErrorIs(t, err, tab.ErrSpec)
			return
		}
		again, err := s.Encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzKey(f *testing.F) {
	token, err := tab.Mint(owner(f), "net-1", tab.Key{Job: 9, Label: "x"})
	require.NoError(f, err)
	f.Add(token)
	f.Add("ck-")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := tab.ParseKey(s)
		if err != nil {
			require.ErrorIs(t, err, tab.ErrKey)
			return
		}
		if k.Verify(owner(t).Public(), "net-1") == nil {
			again, err := tab.Mint(owner(t), "net-1", k.Key) // Ed25519 signs alike each time
			require.NoError(t, err)
			require.Equal(t, again, s)
		}
	})
}

func FuzzRevocations(f *testing.F) {
	b, err := tab.Revoke(owner(f), "net-1", tab.Revocations{Job: 3, Number: 1, IDs: []tab.KeyID{{9}, {2}}})
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, verify, err := tab.OpenRevocations(b)
		if err != nil {
			require.ErrorIs(t, err, tab.ErrRevocations)
			return
		}
		for _, id := range r.IDs {
			require.True(t, r.Has(id))
		}
		_ = verify(owner(t).Public(), "net-1")
	})
}
