package market

import (
	"context"
	"fmt"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	"github.com/cantus-network/cantus/work"
)

// DatasetView is the ledger as the verification of a dataset asks it.
type DatasetView struct {
	View
	ChainID string
}

var _ dataset.LedgerView = DatasetView{}

func (v DatasetView) Chain(context.Context) (string, error) { return v.ChainID, nil }

// Signers are the job's buyer, by its address, and its gateway, by its node key.
func (v DatasetView) Signers(ctx context.Context, job work.Job) ([]artifact.Verifier, error) {
	addr, err := sdk.AccAddressFromBech32(job.Buyer)
	if err != nil {
		return nil, fmt.Errorf("the buyer of job %d: %w", job.ID, err)
	}
	out := []artifact.Verifier{AddressVerifier{addr}}
	r, err := v.GatewayRecord(ctx, job.Gateway)
	if NotFound(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	g, err := PlainGateway(r)
	if err != nil {
		return nil, err
	}
	return append(out, artifact.Ed25519Verifier(g.Key)), nil
}

// Registration is the artifact of that CID.
func (v DatasetView) Registration(ctx context.Context, cid string) (dataset.Registration, error) {
	r, err := v.Lineage.Artifact(ctx, &lineagetypes.QueryArtifactRequest{Cid: cid})
	if NotFound(err) {
		return dataset.Registration{}, fmt.Errorf("%w: %s", dataset.ErrUnregistered, cid)
	}
	if err != nil {
		return dataset.Registration{}, fmt.Errorf("look %s up: %w", cid, err)
	}
	a := r.Artifact
	out := dataset.Registration{
		Type: a.Type, Owner: a.Owner, Job: work.JobID(a.Job), Label: a.Label, License: a.License,
		Revoked: a.Status == lineagetypes.Status_STATUS_REVOKED, RevokeReason: a.RevokeReason,
	}
	copy(out.StatementDigest[:], a.StatementDigest)
	copy(out.SettledRoot[:], a.SettledRoot)
	return out, nil
}
