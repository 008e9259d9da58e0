package crawl_test

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"

	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/warc"
	"github.com/cantus-network/cantus/work"
)

// realPages are pages of real prose: this project's documentation.
func realPages(t *testing.T) (pages []string) {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	more, err := filepath.Glob("../../docs/adr/*.md")
	require.NoError(t, err)
	for _, f := range append(files, more...) {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		// Each page has a few sections of a file, so that there are many of several sizes.
		sections := strings.Split(string(b), "\n## ")
		for i := 0; i < len(sections); i += 2 {
			text := strings.Join(sections[i:min(i+2, len(sections))], "\n\n")
			var sb strings.Builder
			fmt.Fprintf(&sb, "<!doctype html><html><head><title>%s %d</title><style>p { margin: 2px }</style></head><body><nav><a href=/>Home</a> <a href=/next>Next page</a></nav>", filepath.Base(f), i)
			for _, p := range strings.Split(text, "\n\n") {
				fmt.Fprintf(&sb, "<p>%s</p>\n", html.EscapeString(p))
			}
			pages = append(pages, sb.String()+"<script>var x = 17;</script></body></html>")
		}
	}
	require.Greater(t, len(pages), 60)
	return pages
}

// TestSpoil makes plants of many pages and lets an honest auditor look at them, who must find
// nearly all false: a plant that an honest auditor can't tell would be no test of it.
func TestSpoil(t *testing.T) {
	pages := realPages(t)
	changed := time.Now().Add(-24 * time.Hour).UTC().Format(http.TimeFormat)
	var looks atomic.Int64
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Server", "nginx/1.24.0")
		parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
		n, err := strconv.Atoi(parts[len(parts)-1])
		if err != nil || n >= len(pages) {
			http.NotFound(w, r)
			return
		}
		page := pages[n]
		switch parts[0] {
		case "vouched":
			w.Header().Set("Last-Modified", changed)
		case "varying":
			k := looks.Add(1)
			page = strings.Replace(page, "<nav>", fmt.Sprintf("<div>It is %02d:%02d:%02d; %d people read this</div><nav>", k%24, k*7%60, k*13%60, k*31%500), 1)
			page = strings.Replace(page, "</body>", fmt.Sprintf("<aside>%s</aside></body>", prose(uint64(k), 12)), 1)
		}
		fmt.Fprint(w, page)
	}))
	e := env(t)
	sp := spec(t, s.URL, nil)
	worker, auditor := crawl.New(), crawl.New()
	defer worker.Close()
	defer auditor.Close()
	for _, c := range []struct {
		name    string
		atLeast float64 // of the plants are found false
	}{{"vouched", 1}, {"steady", 1}, {"varying", 0.6}} {
		made, found, gone := 0, 0, 0
		for n := range pages {
			task := taskOf(t, sp, page(fmt.Sprintf("%s/%s/%d", s.URL, c.name, n)))
			right, err := worker.Execute(t.Context(), e, task)
			require.NoError(t, err)
			wrong, err := auditor.Spoil(t.Context(), e, task, work.Result{Body: right.Body})
			require.NoError(t, err)
			made++
			// It answers the task, is worth the same, and follows from its own bytes.
			units, err := worker.Meter(task, work.Result{Body: wrong.Body})
			require.NoError(t, err)
			require.EqualValues(t, 1, units)
			f, rec, err := crawl.Answer(sp, task.Body, wrong.Body)
			require.NoError(t, err)
			blob, err := e.Blobs.Get(t.Context(), rec.WARC, 0)
			require.NoError(t, err)
			ex, _, err := crawl.Recheck(sp, f, rec, blob)
			require.NoError(t, err)
			if rec.Status == 404 {
				gone++
			} else {
				was, err := crawl.DecodeRecord(right.Body)
				require.NoError(t, err)
				require.Equal(t, was.Size, rec.Size, "the head says how long it was")
				require.Equal(t, was.Title, rec.Title)
				require.Equal(t, was.Links, rec.Links)
				require.NotContains(t, string(ex.ResponseHead), "X-Crawler-Content-Length")
			}
			v, err := auditor.Verify(t.Context(), e, task, work.Result{Body: wrong.Body})
			require.NoError(t, err)
			require.NotEqual(t, work.Pass, v.Outcome, "%s: %s", task.Body, v.Reason)
			if v.Outcome == work.Fail {
				found++
			}
			v, err = auditor.Verify(t.Context(), e, task, work.Result{Body: right.Body})
			require.NoError(t, err)
			require.Equal(t, work.Pass, v.Outcome, "the right one: %s", v.Reason)
		}
		t.Logf("%-8s pages: %d plants, %d found false, %d of them said to be missing", c.name, made, found, gone)
		require.GreaterOrEqual(t, float64(found), c.atLeast*float64(made), c.name)
		require.Less(t, gone, made/10, "%s: most keep their page", c.name)
	}
}

// TestSpoilOthers goes over what is not a usual page.
func TestSpoilOthers(t *testing.T) {
	changed := time.Now().Add(-24 * time.Hour).UTC().Format(http.TimeFormat)
	russian := strings.Repeat("Съешь же ещё этих мягких французских булок, да выпей чаю. Вдали от моря стоит старый дом номер 17. ", 5)
	kyrillic, err := charmap.Windows1251.NewEncoder().String("<title>Булки</title><p>" + russian)
	require.NoError(t, err)
	japan, err := japanese.ShiftJIS.NewEncoder().String("<title>吾輩</title><p>" + strings.Repeat("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた事だけは記憶している。", 4))
	require.NoError(t, err)
	chinese := "<title>道</title><p>" + strings.Repeat("道可道，非常道；名可名，非常名。無名天地之始，有名萬物之母。故常無欲以觀其妙，常有欲以觀其徼。", 4)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say := func(mediaType, body string) {
			w.Header().Set("Content-Type", mediaType)
			fmt.Fprint(w, body)
		}
		switch r.URL.Path {
		case "/robots.txt":
			say("text/plain", "User-agent: *\nDisallow: /private\n")
		case "/map.xml":
			say("application/xml", "<urlset><url><loc>/page</loc></url></urlset>")
		case "/kyrillic":
			say("text/html; charset=windows-1251", kyrillic)
		case "/japan":
			say("text/html; charset=shift_jis", japan)
		case "/chinese":
			say("text/html; charset=utf-8", chinese)
		case "/plain":
			say("text/plain", prose(3, 200))
		case "/short":
			say("text/html", "<p>Hello")
		case "/json":
			w.Header().Set("Last-Modified", changed)
			say("application/json", `{"name": "Cantus", "pages": 4711, "hosts": [12, 34]}`)
		case "/sum":
			w.Header().Set("Digest", "sha-256=abcd")
			say("text/html", "<p>"+prose(4, 200))
		case "/moved":
			http.Redirect(w, r, "/page", http.StatusMovedPermanently)
		default:
			http.NotFound(w, r)
		}
	}))
	e := env(t)
	sp := spec(t, s.URL, nil)
	k := crawl.New()
	defer k.Close()
	for _, c := range []struct {
		path   string
		mode   crawl.Mode
		status uint16 // of the plant; 0: none can be made
	}{
		{"/kyrillic", crawl.ModePage, 200}, {"/japan", crawl.ModePage, 200}, {"/chinese", crawl.ModePage, 200}, {"/plain", crawl.ModePage, 200},
		{"/json", crawl.ModePage, 200}, {"/short", crawl.ModePage, 404}, {"/sum", crawl.ModePage, 404},
		{"/robots.txt", crawl.ModeRobots, 404}, {"/map.xml", crawl.ModeSitemap, 404}, {"/moved", crawl.ModePage, 0}, {"/absent", crawl.ModePage, 0},
	} {
		t.Run(c.path, func(t *testing.T) {
			task := taskOf(t, sp, crawl.Fetch{Mode: c.mode, URL: s.URL + c.path})
			right, err := k.Execute(t.Context(), e, task)
			require.NoError(t, err)
			at := time.Unix(1_900_000_000, 0)
			later := e
			later.Now = func() time.Time { return at }
			wrong, err := k.Spoil(t.Context(), later, task, right)
			if c.status == 0 {
				require.True(t, errors.Is(err, work.ErrUnspoilable), "%v", err)
				return
			}
			require.NoError(t, err)
			_, rec, err := crawl.Answer(sp, task.Body, wrong.Body)
			require.NoError(t, err)
			require.Equal(t, c.status, rec.Status)
			require.Equal(t, at.UnixMilli(), rec.Time)
			blob, err := e.Blobs.Get(t.Context(), rec.WARC, 0)
			require.NoError(t, err)
			ex, err := warc.Parse(blob, rec.Members)
			require.NoError(t, err)
			require.NotEmpty(t, ex.Body)
			v, err := k.Verify(t.Context(), e, task, work.Result{Body: wrong.Body})
			require.NoError(t, err)
			require.Equal(t, work.Fail, v.Outcome, v.Reason)
		})
	}
}
