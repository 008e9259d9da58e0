package main

import (
	"fmt"
	"io"

	"github.com/cantus-network/cantus/kinds/infer/measured"
)

type report struct {
	Model   string  `json:"model"`
	Answers int     `json:"answers"` // of each worker, to calibrate and again to test
	Tokens  int     `json:"tokens"`  // of an answer, at most
	Tables  []table `json:"tables"`
}

type table struct {
	Name        string                `json:"name"`
	Calibration *measured.Calibration `json:"calibration"`
	Rows        []row                 `json:"rows"`
	Problem     string                `json:"problem,omitempty"`
}

type row struct {
	Worker     string  `json:"worker"`
	Honest     bool    `json:"honest"`
	Answers    int     `json:"answers"`
	Tokens     int     `json:"tokens"`
	Distance   float64 `json:"distance"` // nats, the geometric mean over places
	Missed     float64 `json:"missed"`   // share of places
	MissedLow  float64 `json:"missed_low"`
	MissedHigh float64 `json:"missed_high"`
	Score      float64 `json:"score"`      // nats of an answer, mean
	Suspicious int     `json:"suspicious"` // answers with a score above 0
	E          float64 `json:"e"`          // mean e-value
	EHigh      float64 `json:"e_high"`     // and two standard errors more
	Alarms     int     `json:"alarms"`     // of an honest worker in 100,000 answers drawn again
	Highest    float64 `json:"highest"`    // sum of its sequence, nats
	Found      float64 `json:"found"`      // share of dishonest workers found within 2,000 answers
	Median     int     `json:"median"`     // answers until then
	P95        int     `json:"p95"`
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n## %s: %d answers of up to %d tokens of each worker to calibrate, as many others to test\n", r.Model, r.Answers, r.Tokens)
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n### %s\n\n", t.Name)
		if t.Problem != "" {
			fmt.Fprintln(w, t.Problem)
			continue
		}
		c := t.Calibration
		fmt.Fprintf(w, "A miss is a gap above %.3f nats; honest answers miss at most %.2f %%; weights %.2f and %.2f.\n\n", float64(c.Gap)/1e6, float64(c.Miss)/1e4, float64(c.NearWeight)/1e6, float64(c.MissWeight)/1e6)
		fmt.Fprintln(w, "| worker | distance (nats) | misses % (95 %) | score of an answer (nats) | mean e-value | answers above 0 (95 %) | accused |")
		fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
		for _, x := range t.Rows {
			e := fmt.Sprintf("%.2f (at most %.2f)", x.E, x.EHigh)
			if !x.Honest {
				e = ""
			}
			low, high := measured.Interval(x.Suspicious, x.Answers)
			accused := fmt.Sprintf("%d times in 100,000 answers; sum at most %.1f of %.0f", x.Alarms, x.Highest, measured.Alarm/1000.0)
			if !x.Honest {
				accused = fmt.Sprintf("never in 2,000 answers (%.0f %%)", 100*(1-x.Found))
				if x.Median > 0 {
					per := float64(x.Tokens) / float64(x.Answers)
					accused = fmt.Sprintf("%.1f %%, after %d answers (95 %%: %d), %.0f tokens", 100*x.Found, x.Median, x.P95, float64(x.Median)*per)
				}
			}
			fmt.Fprintf(w, "| %s | %.2e | %.2f (%.2f–%.2f) | %+.2f | %s | %d of %d (%.1f–%.1f %%) | %s |\n",
				x.Worker, x.Distance, 100*x.Missed, 100*x.MissedLow, 100*x.MissedHigh, x.Score, e, x.Suspicious, x.Answers, 100*low, 100*high, accused)
		}
	}
}
