package cli_test

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	requeststypes "github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// Under the safe policy a contract never sees a page that a worker altered; under the
// optimistic one it is told of it; and one liar agrees with nobody.
func TestContractsAndAlteredPages(t *testing.T) {
	w := startWorld(t, 3)
	var offers []struct{ Name string }
	require.NoError(t, json.Unmarshal(w.run("gateway", "offer", "--pages", "--json"), &offers))
	require.Len(t, offers, 2)
	a := w.deploy()
	// Longer than the ledger keeps: contracts are told the digest.
	url := sites(t, 1, 200)[0] + "2.html"
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Greater(t, len(b), requeststypes.MaxAnswer)
	truth := sha256.Sum256(b)

	for name, policy := range map[string]uint8{"safe": requeststypes.Safe, "optimistic": requeststypes.Optimistic, "agreement": 2} {
		t.Run(name, func(t *testing.T) {
			w.outsider(name+"-liar", liar(t))
			var jobs []uint64
			// An answer on which two agree is told before anybody looked for lies.
			found := func() bool { return slices.ContainsFunc(jobs, w.found) }
			for round := 0; !found(); round++ {
				require.Less(t, round, 30, "the liar was never asked")
				var ids []uint64
				for range 2 { // more at a time are more transactions than this network's short deadlines leave room for
					ids = append(ids, a.fetch(url, policy))
				}
				for _, id := range ids {
					r, v := a.ended(id), a.told(id)
					jobs = append(jobs, r.Job)
					t.Logf("request %d in job %d is %s with label %q after %d blocks", id, r.Job, r.Status, r.Label, r.EndedHeight-r.OpenedHeight)
					if !v.Answered {
						require.Equal(t, requeststypes.Status_STATUS_FAILED, r.Status)
						continue
					}
					p, err := requeststypes.DecodePage(v.Answer)
					require.NoError(t, err)
					require.EqualValues(t, 200, p.Status)
					require.Empty(t, p.Content)
					if p.Digest == truth && w.forsaken(r) {
						continue
					}
					require.Equal(t, p.Digest != truth, v.Refuted, "request %d", id)
					if policy != requeststypes.Optimistic {
						require.Equal(t, truth, p.Digest, "request %d", id)
					}
					if !v.Refuted {
						require.Equal(t, requeststypes.Status_STATUS_FINAL, r.Status)
						require.Equal(t, string(work.Agreed), r.Label)
					}
				}
			}
		})
	}
	inv, err := requeststypes.NewQueryClient(w.client.Conn()).Invariants(t.Context(), &requeststypes.QueryInvariantsRequest{})
	require.NoError(t, err)
	require.True(t, inv.Ok, "%v", inv.Broken)
	books, err := w.Books(t.Context())
	require.NoError(t, err)
	require.True(t, books.Ok, "%v", books.Broken)
}
