package progress_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/cantus-network/cantus/internal/progress"
)

func TestModes(t *testing.T) {
	show := func(m progress.Mode) string {
		var b bytes.Buffer
		p := progress.New(&b, m)
		p.Update(strings.Repeat("x", 200), map[string]int{"n": 1})
		p.Update("dropped: too soon after the first", map[string]int{"n": 2})
		p.Step("done", map[string]int{"n": 3})
		p.Clear()
		return b.String()
	}
	if got := show(progress.Plain); got != strings.Repeat("x", 200)+"\ndone\n" {
		t.Errorf("plain: %q", got)
	}
	if got := show(progress.Terminal); strings.Count(got, "\n") != 1 || strings.Contains(got, strings.Repeat("x", 80)) {
		t.Errorf("terminal: %q", got)
	}
	for i, line := range strings.Split(strings.TrimSpace(show(progress.JSON)), "\n") {
		var v struct{ N int }
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.N != []int{1, 3}[i] {
			t.Errorf("JSON line %d: %q, %v", i, line, err)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 KB", 123_456_789: "123.5 MB", 1 << 63: "9.2 EB"} {
		if got := progress.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}
