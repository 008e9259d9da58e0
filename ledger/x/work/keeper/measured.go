package keeper

import (
	"context"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// measure adds what a sample's auditors measured to what is known of its worker, once it is
// sure that it is no plant. If that is enough to convict it the sample becomes false; it
// changes e's sample in place.
//
// The sum is that of a sequential test (Page's CUSUM of logarithms of likelihood ratios): it
// falls with honest samples, but never below 0, and rises with a cheat's, so that it reaches
// the threshold the sooner the plainer the cheat is, and hardly ever by chance.
func (k *Keeper) measure(ctx context.Context, e types.Epoch, i uint32, p types.Params) error {
	s := &e.Samples[i]
	score, enough := s.Median()
	if s.Plant || !enough || s.Status == types.SampleStatus_SAMPLE_STATUS_MERGED {
		return nil
	}
	j, err := k.job(ctx, e.Job)
	if err != nil {
		return err
	}
	signed, err := work.DecodeReceipt(s.Receipt)
	if err != nil {
		return err
	}
	w, err := k.worker(ctx, signed.Receipt.Worker[:])
	if err != nil {
		return err
	}
	var convicted bool
	s.Score, convicted = w.Suspect(j.Kind, score, p)
	if convicted {
		s.Status = types.SampleStatus_SAMPLE_STATUS_FALSE
		emit(ctx, types.EventSampleDecided, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, i,
			types.AttrWorker, w.Key, types.AttrStatus, s.Status)
	}
	emit(ctx, types.EventMeasured, types.AttrJob, e.Job, types.AttrEpoch, e.Number, types.AttrSample, i,
		types.AttrWorker, w.Key, types.AttrKind, j.Kind, types.AttrScore, s.Score)
	return k.setWorker(ctx, w)
}
