package dataset

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// plants.json says which receipts the gateway had planted to see whether auditors look:
// they are leaves of the trees, and no results. It is an array of these, one for each
// settled epoch that had a commitment to its plants, in order, also where they were none.
// The salt opens the commitment that the ledger has, so nobody can call a receipt a plant
// that was none.
type plantsEntry struct {
	Epoch   uint64   `json:"epoch"`
	Salt    string   `json:"salt"` // 64 hexadecimal digits
	Indices []uint64 `json:"indices"`
}

const (
	plantsFile = "plants.json"
	maxPlants  = 64 << 20 // bytes of plants.json
)

var errPlanted = errors.New("the gateway planted it")

// planted are a job's plants by epoch.
type planted map[uint64]work.Plants

func (p planted) has(e entry) bool {
	x, ok := p[e.Epoch]
	return ok && x.Has(e.Index)
}

// checkPlants holds what the gateway says of plants against the ledger's commitments.
func checkPlants(m Meta) (planted, error) {
	all := planted{}
	for _, p := range m.Plants {
		if _, dup := all[p.Epoch]; dup || p.Chain != m.Chain || p.Job != m.Job.ID {
			return nil, fmt.Errorf("%w: plants of epoch %d of job %d of chain %.64q, or twice", ErrSource, p.Epoch, p.Job, p.Chain)
		}
		all[p.Epoch] = p
	}
	for _, e := range m.Epochs {
		p, ok := all[e.Number]
		switch {
		case !e.PlantsShown && ok:
			return nil, fmt.Errorf("%w: plants of epoch %d, of which the ledger was shown none", ErrSource, e.Number)
		case e.PlantsShown && !ok:
			return nil, fmt.Errorf("%w: the plants of epoch %d are not at hand", ErrSource, e.Number)
		case ok:
			if err := p.Check(e.Plants); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSource, err)
			}
		}
	}
	return all, nil
}

func encodePlants(epochs []work.Epoch, all planted) ([]byte, error) {
	l := []plantsEntry{}
	for _, e := range epochs {
		if p, ok := all[e.Number]; ok {
			l = append(l, plantsEntry{e.Number, hex.EncodeToString(p.Salt[:]), append([]uint64{}, p.Indices...)})
		}
	}
	b, err := artifact.Canonical(l)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", plantsFile, err)
	}
	return b, nil
}

// decodePlants reads what encodePlants writes.
func decodePlants(b []byte, chain string, job work.JobID) (planted, error) {
	var l []plantsEntry
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, plantsFile, err)
	}
	again, err := artifact.Canonical(l)
	if err != nil || !bytes.Equal(again, b) {
		return nil, fmt.Errorf("%w: %s: another form of the same", ErrFormat, plantsFile)
	}
	all := planted{}
	for i, x := range l {
		p := work.Plants{Chain: chain, Job: job, Epoch: x.Epoch, Indices: x.Indices}
		salt, err := hex.DecodeString(x.Salt)
		if err != nil || len(salt) != len(p.Salt) || hex.EncodeToString(salt) != x.Salt || i > 0 && l[i-1].Epoch >= x.Epoch {
			return nil, fmt.Errorf("%w: %s: entry %d is out of order or has no salt", ErrFormat, plantsFile, i+1)
		}
		copy(p.Salt[:], salt)
		if _, err := p.Commitment(); err != nil { // too many, or out of order
			return nil, fmt.Errorf("%w: %s: %w", ErrFormat, plantsFile, err)
		}
		all[x.Epoch] = p
	}
	return all, nil
}

// count is how many plants there are.
func (p planted) count() (n int) {
	for _, x := range p {
		n += len(x.Indices)
	}
	return n
}
