package deploy_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// silent is a ledger that never answers: nothing here asks it anything.
type silent struct{ scheduler.Ledger }

func (silent) WaitHeight(ctx context.Context, _ int64) (int64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func newKey(t *testing.T) work.PrivateKey {
	k, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

var described = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// counted lists the metrics that the programs have, with their labels.
// kinds are those of a machine that has models.
func kinds(t *testing.T, reg prometheus.Registerer) []work.Kind {
	kinds, stop, err := all.Kinds(all.Options{Models: t.TempDir(), Metrics: reg})
	require.NoError(t, err)
	t.Cleanup(stop)
	return kinds
}

func counted(t *testing.T) map[string][]string {
	gw := gateway.NewRegistry()
	g, err := gateway.New(gateway.Config{
		Chain: "test-1", Address: "cantus1gateway", Key: newKey(t), Dir: t.TempDir(), Kinds: kinds(t, gw), Ledger: silent{}, Metrics: gw,
	})
	require.NoError(t, err)
	defer g.Close()
	wr := prometheus.NewRegistry()
	_, err = worker.New(worker.Config{Gateway: g.URL(), Key: newKey(t), Dir: t.TempDir(), Kinds: kinds(t, wr), Metrics: wr})
	require.NoError(t, err)
	out := map[string][]string{}
	for _, r := range []*prometheus.Registry{gw, wr} {
		c := make(chan *prometheus.Desc)
		go func() { r.Describe(c); close(c) }()
		for d := range c {
			m := described.FindStringSubmatch(d.String())
			require.NotNil(t, m, d.String())
			out[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	return out
}

var (
	names    = regexp.MustCompile(`\b(?:cantus|go|process)_[a-z0-9_]+`)
	grouping = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
	matching = regexp.MustCompile(`([a-z_]+) ?(?:=~|!~|!=|=)"`)
)

// check holds an expression to the metrics that there are.
func check(t *testing.T, where, expr string, known map[string][]string) {
	found := names.FindAllString(expr, -1)
	require.NotEmpty(t, found, "%s: %s", where, expr)
	labels := []string{"job", "instance", "le"}
	for _, n := range found {
		have, ok := known[n]
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, cut := strings.CutSuffix(n, suffix); cut && !ok {
				have, ok = known[base]
			}
		}
		require.True(t, ok, "%s: no program counts %s", where, n)
		labels = append(labels, have...)
	}
	var used []string
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		used = append(used, strings.Split(m[1], ", ")...)
	}
	for _, m := range matching.FindAllStringSubmatch(expr, -1) {
		used = append(used, m[1])
	}
	for _, l := range used {
		require.Contains(t, labels, l, "%s: %s", where, expr)
	}
}

func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("grafana/cantus.json")
	require.NoError(t, err)
	var d struct {
		UID, Title    string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			ID         int
			Type       string
			Title      string
			GridPos    struct{ X, Y, W, H int }
			Datasource struct{ UID string }
			Targets    []struct {
				RefID, Expr, LegendFormat string
				Datasource                struct{ UID string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(b, &d))
	require.NotEmpty(t, d.UID)
	require.GreaterOrEqual(t, d.SchemaVersion, 37, "of Grafana 10")
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	require.Equal(t, []string{"datasource", "job", "instance"}, variables)
	known := counted(t)
	ids := map[int]bool{}
	shown := map[string]bool{}
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "%s: an ID twice", p.Title)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			require.Equal(t, "${datasource}", target.Datasource.UID, p.Title)
			check(t, p.Title, target.Expr, known)
			for _, n := range names.FindAllString(target.Expr, -1) {
				shown[n] = true
			}
			for _, l := range regexp.MustCompile(`\{\{([a-z]+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				require.Contains(t, target.Expr, l[1], "%s: the legend names a label that the expression drops", p.Title)
			}
		}
	}
	for n := range known {
		if strings.HasPrefix(n, "cantus_scheduler_") && !strings.HasSuffix(n, "_ready_bundles") && !strings.HasSuffix(n, "_mismatches_total") {
			require.True(t, shown[n] || shown[n+"_bucket"], "no panel shows %s", n)
		}
	}
}

func TestAlerts(t *testing.T) {
	b, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	var a struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(b, &a))
	known := counted(t)
	for _, g := range a.Groups {
		require.NotEmpty(t, g.Rules)
		for _, r := range g.Rules {
			check(t, r.Alert, r.Expr, known)
			require.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		}
	}
}

func TestScrape(t *testing.T) {
	b, err := os.ReadFile("prometheus.yml")
	require.NoError(t, err)
	var p struct {
		Scrape []struct {
			Job    string                       `yaml:"job_name"`
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
		Rules []string `yaml:"rule_files"`
	}
	require.NoError(t, yaml.Unmarshal(b, &p))
	var jobs []string
	for _, s := range p.Scrape {
		jobs = append(jobs, s.Job)
	}
	slices.Sort(jobs)
	require.Equal(t, []string{"gateway", "ledger", "worker"}, jobs)
	for _, r := range p.Rules {
		_, err := os.Stat(r)
		require.NoError(t, err)
	}
}
