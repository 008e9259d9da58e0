package cli

import (
	"fmt"
	"io"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/ledger/chain"
)

// printAccount shows where a job's money went.
func printAccount(w io.Writer, a market.Account) error {
	rows := [][]string{
		{"job", fmt.Sprintf("%d, %s", a.Job, a.Status)},
		{"receipts", fmt.Sprintf("%d, %d units at %s", a.Receipts, a.Units, chain.FormatAmount(a.Price))},
	}
	for _, e := range a.Epochs {
		rows = append(rows, []string{fmt.Sprintf("epoch %d", e.Number), fmt.Sprintf("root %s in block %d: %d receipts, %s, %s", e.Root, e.Height, e.Receipts, e.Status, orNone(e.Label))})
	}
	rows = append(rows, []string{"audits", fmt.Sprintf("%d drawn, %d upheld, %d false, %d open or undecided", a.Drawn, a.Upheld, a.False, a.Other)})
	for _, e := range a.Earned {
		note := ""
		if e.Forfeited {
			note = ", forfeited for a false receipt"
		}
		rows = append(rows, []string{"worker " + e.Worker.Short(), fmt.Sprintf("%d units, %s%s", e.Units, chain.FormatAmount(e.Amount), note)})
	}
	balanced := "the parts sum to the escrow"
	if !a.Balanced {
		balanced = "not all paid out yet"
	}
	rows = append(rows,
		[]string{"workers", chain.FormatAmount(a.Workers)},
		[]string{"gateway", chain.FormatAmount(a.Gateway)},
		[]string{"auditors", chain.FormatAmount(a.Auditors)},
		[]string{"royalties", chain.FormatAmount(a.Royalties)},
		[]string{"burned", chain.FormatAmount(a.Burned)},
		[]string{"refunded", chain.FormatAmount(a.Refunded)},
		[]string{"escrow", chain.FormatAmount(a.Escrow) + " (" + balanced + ")"},
	)
	return table(w, rows)
}

func orNone(s string) string {
	if s == "" {
		return "no label yet"
	}
	return s
}
