// Package home is the directory in which the command keeps everything: where each part
// lies, the one-owner lock, and network.json, by which other commands find the network that
// runs here.
//
//	network.json   the endpoints of the network that runs, or last ran, from this home
//	lock           held while `cantus up`, or an embedded network, runs
//	keyring/       accounts
//	ledger/        the node's home
//	gateway/       key, scheduler state, artifacts
//	workers/N/     key, journal
//	models/        models, for the gateway and the workers of this machine
//	jobs/N.json    what `cantus crawl --resume N` must know
//	tabs/          tabs: their keys and API keys (tabs.go)
package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Dir is a home directory.
type Dir string

// Default is $CANTUS_HOME, else ~/.cantus.
func Default() Dir {
	if d := os.Getenv("CANTUS_HOME"); d != "" {
		return Dir(d)
	}
	d, err := os.UserHomeDir()
	if err != nil {
		return ".cantus"
	}
	return Dir(filepath.Join(d, ".cantus"))
}

// Path joins elements under the home.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

func (d Dir) Ledger() string      { return d.Path("ledger") }
func (d Dir) Keyring() string     { return d.Path("keyring") }
func (d Dir) Gateway() string     { return d.Path("gateway") }
func (d Dir) Models() string      { return d.Path("models") }
func (d Dir) Worker(n int) string { return d.Path("workers", strconv.Itoa(n)) }

// DevKeyring reports whether the home's accounts are a devnet's, kept without a passphrase.
func (d Dir) DevKeyring() bool {
	_, err := os.Stat(d.Path("keyring", "keyring-test"))
	return err == nil
}

// Create makes the home, readable by its owner alone.
func (d Dir) Create() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("create the home directory: %w", err)
	}
	return nil
}

// ErrInUse is returned by Lock when another process holds the home.
var ErrInUse = errors.New("home directory is in use")

// Lock takes the home for this process until it ends or release is called.
func (d Dir) Lock() (release func(), err error) {
	if err := d.Create(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.Path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the home directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: a network already runs from %s; use it, stop it, or choose another with --home", ErrInUse, d)
		}
		return nil, fmt.Errorf("lock %s: %w", d.Path("lock"), err)
	}
	return func() { f.Close() }, nil
}

// Network is what network.json says.
type Network struct {
	ChainID    string            `json:"chain_id"`
	EVMChainID uint64            `json:"evm_chain_id"`
	RPC        string            `json:"rpc"`
	GRPC       string            `json:"grpc"`
	REST       string            `json:"rest"`
	JSONRPC    string            `json:"jsonrpc"`
	Gateway    string            `json:"gateway"` // URL
	Metrics    map[string]string `json:"metrics,omitempty"`
	Accounts   map[string]string `json:"accounts,omitempty"` // name → address
	Workers    int               `json:"workers,omitempty"`
	PID        int               `json:"pid,omitempty"`
}

// ErrNoNetwork is returned by ReadNetwork where there is no network.json.
var ErrNoNetwork = errors.New("no network is known here")

// ReadNetwork reads network.json.
func (d Dir) ReadNetwork() (Network, error) {
	var n Network
	b, err := os.ReadFile(d.Path("network.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return n, fmt.Errorf("%w: %s does not exist; start one with `cantus up`, or name one with --grpc, --rpc and --gateway", ErrNoNetwork, d.Path("network.json"))
	}
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("read %s: %w; delete it and start the network again", d.Path("network.json"), err)
	}
	return n, nil
}

// WriteNetwork replaces network.json in one step.
func (d Dir) WriteNetwork(n Network) error { return d.writeJSON("network.json", n) }

// ForgetNetwork removes network.json.
func (d Dir) ForgetNetwork() { os.Remove(d.Path("network.json")) }

// Job is what `cantus crawl --resume` needs to know of a job.
type Job struct {
	ID      uint64 `json:"id"`
	Out     string `json:"out"`
	Spec    []byte `json:"spec"`
	License string `json:"license,omitempty"`
	Account string `json:"account"`
}

// WriteJob remembers a job.
func (d Dir) WriteJob(j Job) error {
	if err := os.MkdirAll(d.Path("jobs"), 0o700); err != nil {
		return err
	}
	return d.writeJSON(filepath.Join("jobs", strconv.FormatUint(j.ID, 10)+".json"), j)
}

// ReadJob recalls a job.
func (d Dir) ReadJob(id uint64) (Job, error) {
	var j Job
	b, err := os.ReadFile(d.Path("jobs", strconv.FormatUint(id, 10)+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return j, fmt.Errorf("job %d was not started from %s: `cantus job list` shows the jobs that there are", id, d)
	}
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return j, fmt.Errorf("read what is known of job %d: %w", id, err)
	}
	return j, nil
}

func (d Dir) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := d.Path(name + ".tmp")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, d.Path(name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
