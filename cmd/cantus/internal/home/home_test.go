package home_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
)

func TestLockHasOneOwner(t *testing.T) {
	d := home.Dir(filepath.Join(t.TempDir(), "h"))
	release, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); !errors.Is(err, home.ErrInUse) {
		t.Errorf("a second lock: %v, want ErrInUse", err)
	}
	release()
	again, err := d.Lock()
	if err != nil {
		t.Errorf("after release: %v", err)
	} else {
		again()
	}
	st, err := os.Stat(string(d))
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("home is %v, %v; want 0700", st.Mode(), err)
	}
}

func TestNetworkFile(t *testing.T) {
	d := home.Dir(t.TempDir())
	if _, err := d.ReadNetwork(); !errors.Is(err, home.ErrNoNetwork) {
		t.Errorf("no file: %v, want ErrNoNetwork", err)
	}
	if err := d.WriteNetwork(home.Network{ChainID: "c-1", Gateway: "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	n, err := d.ReadNetwork()
	if err != nil || n.ChainID != "c-1" {
		t.Errorf("got %+v, %v", n, err)
	}
	if err := os.WriteFile(d.Path("network.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadNetwork(); err == nil || errors.Is(err, home.ErrNoNetwork) {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestJobs(t *testing.T) {
	d := home.Dir(t.TempDir())
	if _, err := d.ReadJob(3); err == nil {
		t.Error("an unknown job is known")
	}
	if err := d.WriteJob(home.Job{ID: 3, Out: "/x"}); err != nil {
		t.Fatal(err)
	}
	if j, err := d.ReadJob(3); err != nil || j.Out != "/x" {
		t.Errorf("got %+v, %v", j, err)
	}
}
