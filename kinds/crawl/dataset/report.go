package dataset

import (
	"fmt"
	"strings"
)

// maxShown bounds how many failures of one check a report spells out.
const maxShown = 10

// Check is one thing that was checked of a dataset.
type Check struct {
	Name     string   `json:"name"`
	Checked  uint64   `json:"checked"` // files, receipts, rows: what the name says
	Failed   uint64   `json:"failed"`
	Failures []string `json:"failures,omitempty"` // the first of them
	Skipped  string   `json:"skipped,omitempty"`  // why it was not checked at all
}

// OK reports whether everything was as it should be. A check that was skipped is.
func (c *Check) OK() bool { return c.Failed == 0 }

func (c *Check) fail(format string, args ...any) {
	c.Failed++
	if len(c.Failures) < maxShown {
		c.Failures = append(c.Failures, fmt.Sprintf(format, args...))
	}
}

// must counts one thing as checked, and as failed if err says so.
func (c *Check) must(err error) bool {
	c.Checked++
	if err != nil {
		c.fail("%v", err)
	}
	return err == nil
}

// Report is what Verify found.
type Report struct {
	CID     string   `json:"cid,omitempty"`
	Chain   string   `json:"chain,omitempty"`
	Job     uint64   `json:"job,omitempty"`
	Label   string   `json:"label,omitempty"`
	Signer  string   `json:"signer,omitempty"` // key that signed the lineage
	Offline bool     `json:"offline"`          // the ledger was not asked
	Counts  Counts   `json:"counts"`
	Checks  []*Check `json:"checks"`
}

// OK reports whether no check failed.
func (r *Report) OK() bool {
	for _, c := range r.Checks {
		if !c.OK() {
			return false
		}
	}
	return len(r.Checks) > 0
}

func (r *Report) check(name string) *Check {
	c := &Check{Name: name}
	r.Checks = append(r.Checks, c)
	return c
}

// String is the report as people read it.
func (r *Report) String() string {
	var b strings.Builder
	for _, c := range r.Checks {
		state := "ok"
		switch {
		case !c.OK():
			state = "FAILED"
		case c.Skipped != "":
			state = "skipped"
		}
		fmt.Fprintf(&b, "%-8s %s", state, c.Name)
		switch {
		case c.Skipped != "":
			fmt.Fprintf(&b, " (%s)", c.Skipped)
		case c.Failed > 0:
			fmt.Fprintf(&b, " (%d of %d)", c.Failed, c.Checked)
		default:
			fmt.Fprintf(&b, " (%d)", c.Checked)
		}
		b.WriteByte('\n')
		for _, f := range c.Failures {
			fmt.Fprintf(&b, "           %s\n", f)
		}
		if n := c.Failed - uint64(len(c.Failures)); c.Failed > 0 && n > 0 {
			fmt.Fprintf(&b, "           and %d more\n", n)
		}
	}
	verdict := "ok"
	switch {
	case !r.OK():
		verdict = "FAILED"
	case r.Offline:
		verdict = "ok, without the ledger: whether these are the roots that it holds was not checked"
	}
	fmt.Fprintf(&b, "verify: %s\n", verdict)
	return b.String()
}
