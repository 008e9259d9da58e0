package market

import (
	"context"
	"fmt"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// Account is where a job's money went, to the last anote. It is JSON for scripts; amounts
// are strings of anote because they pass 2⁵³.
type Account struct {
	Job       uint64     `json:"job"`
	Status    string     `json:"status"`
	Escrow    math.Int   `json:"escrow"`
	Price     math.Int   `json:"price_per_unit"`
	Units     uint64     `json:"units"`
	Plants    uint64     `json:"plant_units"` // besides those: nobody was paid for them
	Workers   math.Int   `json:"workers"`
	Gateway   math.Int   `json:"gateway"`
	Auditors  math.Int   `json:"auditors"`
	Royalties math.Int   `json:"royalties"`
	Burned    math.Int   `json:"burned"`
	Refunded  math.Int   `json:"refunded"`
	Earned    []Earned   `json:"earned"` // by worker
	Epochs    []EpochRow `json:"epochs"`
	Receipts  uint64     `json:"receipts"`
	Drawn     int        `json:"samples_drawn"`
	Upheld    int        `json:"samples_upheld"`
	False     int        `json:"samples_false"`
	Other     int        `json:"samples_other"`     // undecided, unaudited or not decided yet
	Planted   int        `json:"samples_of_plants"` // whatever was found in them
	Settled   string     `json:"settled_root"`
	Balanced  bool       `json:"balanced"` // the parts sum to the escrow
}

// Earned is what one worker was paid in a job.
type Earned struct {
	Worker    work.PublicKey `json:"worker"`
	Operator  string         `json:"operator"`
	Units     uint64         `json:"units"`
	Plants    uint64         `json:"plant_units,omitempty"` // besides those: not paid
	Amount    math.Int       `json:"amount"`
	Forfeited bool           `json:"forfeited,omitempty"`
}

// EpochRow is an epoch in short.
type EpochRow struct {
	Number   uint64 `json:"number"`
	Root     string `json:"receipts_root"`
	Receipts uint64 `json:"receipts"`
	Units    uint64 `json:"units"`
	Height   int64  `json:"height"`
	Settled  int64  `json:"settled_height"`
	Status   string `json:"status"`
	Label    string `json:"label"`
}

// AccountOf adds a job up from the ledger alone.
func (v View) AccountOf(ctx context.Context, id work.JobID) (Account, error) {
	j, err := v.JobRecord(ctx, id)
	if err != nil {
		return Account{}, err
	}
	plain, err := PlainJob(j)
	if err != nil {
		return Account{}, err
	}
	a := Account{
		Job: j.Id, Status: string(plain.Status), Escrow: j.Escrow, Price: j.Price, Units: j.UnitsSettled, Plants: j.PlantUnits,
		Workers: j.PaidWorkers, Gateway: j.PaidGateway, Auditors: j.PaidAuditors, Royalties: j.PaidRoyalties,
		Burned: j.Burned, Refunded: j.Refunded, Receipts: j.Receipts, Settled: plain.SettledRoot.String(),
	}
	a.Balanced = a.Workers.Add(a.Gateway).Add(a.Auditors).Add(a.Royalties).Add(a.Burned).Add(a.Refunded).Equal(a.Escrow)
	epochs, err := v.EpochRecords(ctx, id)
	if err != nil {
		return Account{}, err
	}
	for _, r := range epochs {
		e, err := PlainEpoch(r)
		if err != nil {
			return Account{}, err
		}
		a.Epochs = append(a.Epochs, EpochRow{
			Number: e.Number, Root: fmt.Sprintf("%x", e.Receipts.Hash), Receipts: e.Receipts.Leaves, Units: e.Receipts.Sum,
			Height: e.CommitHeight, Settled: e.SettledHeight, Status: string(e.Status), Label: string(e.Label),
		})
		for i, s := range e.Samples {
			a.Drawn++
			switch {
			case s.Status == work.SampleMerged:
				a.Drawn--
			case r.Samples[i].Plant:
				a.Planted++
			case s.Status == work.SampleUpheld:
				a.Upheld++
			case s.Status == work.SampleFalse:
				a.False++
			default:
				a.Other++
			}
		}
	}
	claims, err := v.Claims(ctx, id)
	if err != nil {
		return Account{}, err
	}
	for _, c := range claims {
		k, err := work.KeyFromBytes(c.Worker)
		if err != nil {
			return Account{}, err
		}
		w, err := v.WorkerRecord(ctx, k)
		if err != nil {
			return Account{}, err
		}
		e := Earned{Worker: k, Operator: w.Operator, Units: c.Units, Plants: c.PlantUnits, Forfeited: c.Forfeited, Amount: j.WorkerPrice.Mul(math.NewIntFromUint64(c.Units))}
		if c.Forfeited {
			e.Amount = math.ZeroInt() // it went back to the buyer
		}
		a.Earned = append(a.Earned, e)
	}
	return a, nil
}

// Final reports whether nothing more can happen to the job but claims.
func Final(s types.JobStatus) bool {
	return s == types.JobStatus_JOB_STATUS_CLOSED || s == types.JobStatus_JOB_STATUS_FAULTED
}
