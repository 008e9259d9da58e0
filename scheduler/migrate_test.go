package scheduler

import (
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/work"
)

// A database as version 1 wrote it: a job with a sealed epoch, finished tasks and a bundle out.
func TestMigrate(t *testing.T) {
	fs, now := vfs.NewMem(), time.UnixMilli(1_800_000_000_000)
	cfg := Config{FS: fs, Dir: "db", MinFree: 1, Log: slog.New(slog.DiscardHandler), Chain: "c", Now: func() time.Time { return now }}
	st, err := openStore(cfg)
	require.NoError(t, err)
	const id = work.JobID(7)
	worker := work.PublicKey{3}
	b := st.batch()
	set := func(k, v []byte) { require.NoError(t, b.Set(k, v, nil)) }
	set([]byte{spaceMeta}, encode(metaRecord{Version: 1, Chain: "c"}))
	set(jobKey(spaceJob, id), encode(jobRecord{Kind: "crawl/1", Open: 2}))
	set(jobKey(spaceJob, id+1), encode(jobRecord{Kind: "crawl/1", Open: 1}))
	for seq := uint64(1); seq <= 9; seq++ {
		set(numberKey(spaceDone, id, seq), make([]byte, 8))
	}
	epoch := epochRecord1{Receipts: rootRecord{Hash: work.Hash{1}, Leaves: 9, Sum: 90}, Status: work.EpochSettled, Commit: 5, Label: work.Agreed, Upheld: 3}
	set(numberKey(spaceEpoch, id, 1), encode(epoch))
	set(numberKey(spaceBundle, id, 8), encode(bundleRecord1{Worker: worker, Pace: 4, Deadline: now.Add(time.Minute).UnixMilli(), Tasks: []taskRecord1{
		{Seq: 8, Attempt: 1}, {Seq: 12, Attempt: 2, Tries: 1, Leased: true, Body: []byte("x")},
	}}))
	set(numberKey(spaceBundle, id, 13), encode(bundleRecord1{Deadline: now.Add(-time.Hour).UnixMilli(), Tasks: []taskRecord1{{Seq: 13}}}))
	require.NoError(t, st.commit(b))
	require.NoError(t, st.close())

	for range 2 { // the second time it is of this version already
		st, err = openStore(cfg)
		require.NoError(t, err)
		number := func(id work.JobID) []byte {
			v, err := st.get(jobKey(spaceNumber, id))
			require.NoError(t, err)
			return v
		}
		require.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 14}, number(id))
		require.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 1}, number(id+1))
		read := func(k []byte) []byte {
			v, err := st.get(k)
			require.NoError(t, err)
			require.NotNil(t, v)
			return v
		}
		e, err := decode[epochRecord]("an epoch", read(numberKey(spaceEpoch, id, 1)))
		require.NoError(t, err)
		require.Equal(t, epochRecord{Receipts: epoch.Receipts, Status: work.EpochSettled, Commit: 5, Label: work.Agreed, Upheld: 3}, e)
		r, err := decode[bundleRecord]("a bundle", read(numberKey(spaceBundle, id, 8)))
		require.NoError(t, err)
		require.Equal(t, bundleRecord{Worker: worker, Pace: 4, Granted: now.UnixMilli(), Left: int64(time.Minute), Tasks: []taskRecord{
			{Seq: 8, Plan: 8, Attempt: 1, Body: []byte{}}, {Seq: 12, Plan: 12, Attempt: 2, Tries: 1, Leased: true, Body: []byte("x")},
		}}, r)
		late, err := decode[bundleRecord]("a bundle", read(numberKey(spaceBundle, id, 13)))
		require.NoError(t, err)
		require.Zero(t, late.Left)
		require.NoError(t, st.close())
	}

	st, err = openStore(cfg)
	require.NoError(t, err)
	b = st.batch()
	require.NoError(t, b.Set([]byte{spaceMeta}, encode(metaRecord{Version: metaVersion + 1, Chain: "c"}), nil))
	require.NoError(t, st.commit(b))
	require.NoError(t, st.close())
	_, err = openStore(cfg)
	require.ErrorContains(t, err, "use the program that made it, or a newer one")
}
