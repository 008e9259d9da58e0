package home

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// Tab is a tab that was opened from this home. It is named after its public key, which is
// there before the ledger numbers the job: a record that was written first can't be lost
// with money behind it. TabKey is where the private key lies.
type Tab struct {
	Key     string   `json:"key"` // its public key in hexadecimal
	Job     uint64   `json:"job"` // 0: the ledger was asked to open it, and did not answer yet
	Chain   string   `json:"chain"`
	Gateway string   `json:"gateway"` // URL
	Account string   `json:"account"` // the buyer's name in this home
	Spec    []byte   `json:"spec"`
	Price   string   `json:"price"` // of a unit, in anote
	Keys    []APIKey `json:"keys,omitempty"`
	Lists   uint64   `json:"lists"` // lists of void keys that were signed
}

// APIKey is an API key that was made here. Its token is as good as money.
type APIKey struct {
	ID      string `json:"id"`
	Label   string `json:"label,omitempty"`
	Limit   uint64 `json:"limit"`             // units; 0 for what the escrow holds
	Expires int64  `json:"expires,omitempty"` // Unix seconds
	Revoked bool   `json:"revoked,omitempty"`
	Token   string `json:"token"`
}

// Usable is the tab's first API key that is not void at the time now, in Unix seconds.
func (t *Tab) Usable(now int64) (APIKey, bool) {
	for _, k := range t.Keys {
		if !k.Revoked && (k.Expires == 0 || k.Expires > now) {
			return k, true
		}
	}
	return APIKey{}, false
}

// TabKey is the file of a tab's private key.
func (d Dir) TabKey(public string) string { return d.Path("tabs", public+".key") }

// TabRecord is the file of a tab's record, with its API keys.
func (d Dir) TabRecord(public string) string { return d.Path("tabs", public+".json") }

// NewTabKey makes the key of a new tab, in its file.
func (d Dir) NewTabKey() (work.PrivateKey, error) {
	tmp := d.Path("tabs", "new-"+rand.Text())
	k, err := worker.CreateKey(tmp)
	if err != nil {
		return k, fmt.Errorf("make the key of a tab: %w", err)
	}
	if err := os.Rename(tmp, d.TabKey(k.Public().String())); err != nil {
		return k, fmt.Errorf("make the key of a tab: %w", errors.Join(err, os.Remove(tmp)))
	}
	return k, nil
}

// ReadTabKey reads a tab's private key.
func (d Dir) ReadTabKey(t Tab) (work.PrivateKey, error) {
	k, err := worker.LoadKey(d.TabKey(t.Key))
	if err != nil {
		return k, fmt.Errorf("the key of the tab of job %d: %w", t.Job, err)
	}
	if k.Public().String() != t.Key {
		return k, fmt.Errorf("the key of the tab of job %d: %s holds another one", t.Job, d.TabKey(t.Key))
	}
	return k, nil
}

// UpdateTab changes a tab's record, one process at a time.
func (d Dir) UpdateTab(public string, change func(*Tab) error) (Tab, error) {
	var t Tab
	lock, err := os.OpenFile(d.Path("tabs", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return t, fmt.Errorf("lock the tabs: %w", err)
	}
	defer lock.Close() // which ends the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return t, fmt.Errorf("lock the tabs: %w", err)
	}
	if t, err = d.readTab(public + ".json"); err != nil {
		return t, err
	}
	if err := change(&t); err != nil {
		return t, err
	}
	return t, d.WriteTab(t)
}

// WriteTab remembers a tab.
func (d Dir) WriteTab(t Tab) error {
	if err := os.MkdirAll(d.Path("tabs"), 0o700); err != nil {
		return fmt.Errorf("make the directory of tabs: %w", err)
	}
	return d.writeJSON(filepath.Join("tabs", t.Key+".json"), t)
}

// ForgetTab removes a tab that the ledger refused to open, and its key.
func (d Dir) ForgetTab(public string) error {
	return errors.Join(os.Remove(d.Path("tabs", public+".json")), os.Remove(d.TabKey(public)))
}

// Tabs are the home's tabs by job, those without one first.
func (d Dir) Tabs() ([]Tab, error) {
	files, err := os.ReadDir(d.Path("tabs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list tabs: %w", err)
	}
	var tabs []Tab
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		t, err := d.readTab(f.Name())
		if err != nil {
			return nil, err
		}
		tabs = append(tabs, t)
	}
	slices.SortFunc(tabs, func(a, b Tab) int { return cmp.Or(cmp.Compare(a.Job, b.Job), strings.Compare(a.Key, b.Key)) })
	return tabs, nil
}

func (d Dir) readTab(name string) (Tab, error) {
	path := d.Path("tabs", name)
	b, err := os.ReadFile(path)
	if err != nil {
		return Tab{}, fmt.Errorf("read a tab: %w", err)
	}
	var t Tab
	if err := json.Unmarshal(b, &t); err != nil {
		return Tab{}, fmt.Errorf("read the tab in %s: %w", path, err)
	}
	if t.Key+".json" != name {
		return Tab{}, fmt.Errorf("read the tab in %s: it is the tab of key %.16q", path, t.Key)
	}
	return t, nil
}
