package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/gateway/backup"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

func gatewayDrain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "drain",
		Short: "Have the gateway that runs from this home finish what is out, commit and stop",
		Long: `Has the gateway that runs from this home take on nothing more, wait up to its own --drain
for the tasks that are out, commit what was done and end. Workers with another gateway go
there. Returns once the gateway has ended.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			var reply struct {
				Out uint64 `json:"tasks_out"`
			}
			if err := gateway.Call(ctx, g.home().Gateway(), "/drain", struct{}{}, &reply); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "draining: %d tasks are out\n", reply.Out)
			for {
				// The lock is free once the process has ended.
				release, err := g.home().Lock()
				if err == nil {
					release()
					return nil
				}
				if !errors.Is(err, home.ErrInUse) {
					return err
				}
				select {
				case <-ctx.Done():
					return errInterrupted
				case <-time.After(200 * time.Millisecond):
				}
			}
		},
	}
}

// movedFile says that the gateway's state went elsewhere for good.
const movedFile = "moved.json"

type moved struct {
	Backup string    `json:"backup"`
	When   time.Time `json:"when"`
}

// refuseMoved keeps a gateway from starting whose state goes on elsewhere: two that sign
// with one key would contradict each other, and pay for it.
func refuseMoved(h home.Dir) error {
	b, err := os.ReadFile(filepath.Join(h.Gateway(), movedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var m moved
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(h.Gateway(), movedFile), err)
	}
	return fmt.Errorf("this gateway was moved away by the backup %s of %s and must not run here again; if that backup was never restored anywhere, delete %s", m.Backup, m.When.Format(time.RFC3339), filepath.Join(h.Gateway(), movedFile))
}

func gatewayBackup(g *globals) *cobra.Command {
	var out, passphrase string
	var withoutKey, move bool
	c := &cobra.Command{
		Use:   "backup --out FILE|DIR",
		Short: "Write the state of this home's gateway to a file, while it runs or not",
		Long: `Writes a consistent copy of the scheduler's database and the node key, encrypted under a
passphrase, to a file; into a directory under a name with the date. Artifacts are not in it:
copy gateway/artifacts with any tool, or keep them in S3. Neither is keyring/, whose files
are encrypted already.

What the gateway promises after the backup is not in it. A gateway that is restored from it
therefore finishes its jobs with what it has and goes on with new ones: see "restore". To
take a gateway to another machine, stop it and use --move: nothing is lost then, and this
home will not start it again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			key, err := worker.LoadKey(keyFile(g.home()))
			if err != nil {
				return err
			}
			s := backup.Source{Key: key, Made: time.Now(), Final: move}
			if !withoutKey {
				if s.Passphrase, err = readPassphrase(passphrase, true); err != nil {
					return err
				}
			}
			done, err := g.checkpoint(ctx, &s)
			if err != nil {
				return err
			}
			defer done()
			path, m, err := writeBackup(out, s)
			if err != nil {
				return err
			}
			if move {
				if err := g.markMoved(path); err != nil {
					return err
				}
			}
			if g.json {
				m.Files = nil
				return printJSON(cmd.OutOrStdout(), map[string]any{"file": path, "manifest": m})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "the `file` to write, or the directory to write it into")
	f.StringVar(&passphrase, "passphrase-file", os.Getenv("CANTUS_BACKUP_PASSPHRASE_FILE"), "`file` whose first line is the passphrase ($CANTUS_BACKUP_PASSPHRASE_FILE); default: ask")
	f.BoolVar(&withoutKey, "without-key", false, "leave the node key out; restoring wants it beside the backup then")
	f.BoolVar(&move, "move", false, "this gateway, which is stopped, goes on elsewhere and never here again")
	_ = c.MarkFlagRequired("out")
	return c
}

// checkpoint finds or makes a copy of the database that nobody writes to, and completes the
// source with it.
func (g *globals) checkpoint(ctx context.Context, s *backup.Source) (done func(), err error) {
	dir := g.home().Gateway()
	copied := filepath.Join(dir, fmt.Sprintf("checkpoint-%d", os.Getpid()))
	if copied, err = filepath.Abs(copied); err != nil {
		return nil, err
	}
	var reply struct {
		Height int64  `json:"height"`
		Chain  string `json:"chain"`
	}
	err = gateway.Call(ctx, dir, "/checkpoint", map[string]string{"dir": copied}, &reply)
	switch {
	case err == nil && s.Final:
		os.RemoveAll(copied)
		return nil, errors.New("the gateway runs: stop it before --move, with `cantus gateway drain`")
	case err == nil:
		s.Database, s.Height, s.Chain = copied, reply.Height, reply.Chain
		return func() { os.RemoveAll(copied) }, nil
	case !errors.Is(err, gateway.ErrNotRunning):
		return nil, err
	}
	// It does not run: nobody else writes while the home is ours.
	release, err := g.home().Lock()
	if err != nil {
		return nil, fmt.Errorf("a gateway runs from here but can't be asked: %w", err)
	}
	if err := refuseMoved(g.home()); err != nil {
		release()
		return nil, err
	}
	s.Database = filepath.Join(dir, "scheduler")
	if s.Chain, _, err = scheduler.Owner(s.Database); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func writeBackup(out string, s backup.Source) (path string, m backup.Manifest, err error) {
	path = out
	if st, err := os.Stat(out); err == nil && st.IsDir() {
		path = filepath.Join(out, fmt.Sprintf("gateway-%s-%s.backup", s.Key.Public().Short(), s.Made.UTC().Format("20060102-150405")))
	}
	fail := func(err error) (string, backup.Manifest, error) { return "", m, err }
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fail(fmt.Errorf("write the backup: %w", err))
	}
	w := bufio.NewWriterSize(f, 1<<20)
	m, err = backup.Write(w, s)
	err = errors.Join(err, w.Flush(), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		os.Remove(path + ".part")
		return fail(err)
	}
	return path, m, nil
}

func (g *globals) markMoved(path string) error {
	b, err := json.Marshal(moved{Backup: path, When: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(g.home().Gateway(), movedFile), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("note that the gateway was moved: %w", err)
	}
	return nil
}

func gatewayRestore(g *globals) *cobra.Command {
	var passphrase, chain string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Bring a gateway back from a backup into a home without one",
		Long: `Checks a backup, which must be whole and signed by the gateway's key, and puts its database
and its node key into --home. The account in keyring/ and the artifacts come from their own
backups.

Between the backup and its loss the old gateway promised pay that the backup knows nothing
of. The restored one does not go on with those jobs: it commits what it has of them, opens
receipts and answers for the epochs that it has, and refuses jobs that were opened before
it came back and are not in the backup. Workers who hold a higher voucher challenge it and
are paid from its bond: that is what the lost state costs, and why backups are made often
and moves with --move.

Make sure that the old gateway is dead. Two with one key contradict each other on the
ledger.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			release, err := g.home().Lock()
			if err != nil {
				return err
			}
			defer release()
			t := backup.Target{Dir: g.home().Gateway(), Chain: chain, Passphrase: func() ([]byte, error) { return readPassphrase(passphrase, false) }}
			t.Key, err = worker.LoadKey(keyFile(g.home()))
			if err != nil && !errors.Is(err, worker.ErrNoKey) {
				return err
			}
			had := err == nil
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("open the backup: %w", err)
			}
			defer f.Close()
			m, key, err := backup.Restore(bufio.NewReaderSize(f, 1<<20), t)
			if err != nil {
				return err
			}
			if !had {
				if err := writeKey(keyFile(g.home()), key); err != nil {
					return err
				}
			}
			// What an earlier move left behind is about a state that this one replaces.
			if err := os.Remove(filepath.Join(g.home().Gateway(), movedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if g.json {
				m.Files = nil
				return printJSON(cmd.OutOrStdout(), m)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "gateway %s of %s is restored as of %s\n", m.Gateway.Short(), m.Chain, m.Made.Format(time.RFC3339))
			if !m.Final {
				fmt.Fprintln(os.Stderr, "its jobs of that time end with what the backup has of them")
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&passphrase, "passphrase-file", os.Getenv("CANTUS_BACKUP_PASSPHRASE_FILE"), "`file` whose first line is the passphrase ($CANTUS_BACKUP_PASSPHRASE_FILE); default: ask")
	f.StringVar(&chain, "chain-id", "", "refuse a backup of another network than this `ID`")
	return c
}

func writeKey(path string, key work.PrivateKey) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the restored node key: %w", err)
	}
	_, err = fmt.Fprintf(f, "%x\n", key.Seed())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the restored node key: %w", err)
	}
	return nil
}

const maxPassphrase = 4096

// readPassphrase takes the first line of a file, or asks: twice for a new one.
func readPassphrase(file string, fresh bool) ([]byte, error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		defer f.Close()
		line, err := bufio.NewReader(io.LimitReader(f, maxPassphrase)).ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return nil, usagef("there is no terminal to ask for the backup's passphrase: name a file that holds it, with --passphrase-file")
	}
	ask := func(text string) ([]byte, error) {
		fmt.Fprint(os.Stderr, text)
		b, err := term.ReadPassword(in)
		fmt.Fprintln(os.Stderr)
		return b, err
	}
	p, err := ask("passphrase of the backup: ")
	if err != nil || !fresh {
		return p, err
	}
	again, err := ask("once more: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p, again) {
		return nil, usagef("the two passphrases differ")
	}
	return p, nil
}
