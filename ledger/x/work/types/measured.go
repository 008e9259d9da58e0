package types

import "slices"

// Median is what most of a sample's auditors measured at least, and whether enough of them
// did: two where more than one was asked, for one alone convicts nobody. Between two it is the
// one that is better for the worker. Who was unsure measured nothing.
func (s Sample) Median() (int32, bool) {
	var scores []int32
	for _, slot := range s.Slots {
		if slot.Outcome == Outcome_OUTCOME_PASS || slot.Outcome == Outcome_OUTCOME_FAIL {
			scores = append(scores, slot.Score)
		}
	}
	if len(scores) == 0 || len(scores) < min(2, len(s.Slots)) {
		return 0, false
	}
	slices.Sort(scores)
	return scores[(len(scores)-1)/2], true
}

// Suspect adds what one sample says to a worker's suspicion in a kind. Within the clip it
// counts as it is, the sum never falls below 0, and at the threshold it begins anew: then the
// worker is convicted. It returns what was added, and whether it is.
func (w *Worker) Suspect(kind string, score int32, p Params) (int32, bool) {
	clip := int32(p.MeasuredClip)
	score = max(-clip, min(score, clip))
	i, known := slices.BinarySearchFunc(w.Suspicions, kind, func(x Suspicion, kind string) int {
		switch {
		case x.Kind < kind:
			return -1
		case x.Kind > kind:
			return 1
		}
		return 0
	})
	sum := int64(score)
	if known {
		sum += int64(w.Suspicions[i].Sum)
	}
	convicted := sum >= int64(p.MeasuredThreshold)
	switch gone := sum <= 0 || convicted; {
	case known && gone:
		w.Suspicions = slices.Delete(w.Suspicions, i, i+1)
	case known:
		w.Suspicions[i].Sum = uint32(sum)
	case !gone:
		w.Suspicions = slices.Insert(w.Suspicions, i, Suspicion{Kind: kind, Sum: uint32(sum)})
	}
	return score, convicted
}
