package cli

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	"github.com/cantus-network/cantus/worker/witness"
)

// member is a worker of a fleet as its operator names it.
type member struct {
	key       work.PublicKey
	signature []byte           // over its enrolment; nil where it was not given
	private   *work.PrivateKey // nil where the key file is elsewhere
	account   string           // address of its account; empty where it is not known
}

const (
	maxFleet     = 10_000
	maxFleetLine = 512
)

const memberHelp = `A worker is given by its key file, as "cantus-worker key" makes it; by a directory, which is a
worker's home or holds several of them; or, where the key is on another machine, by the line that
"cantus-worker key --enroll CHAIN,OPERATOR --line" prints there: KEY=SIGNATURE,ADDRESS. --list reads
such lines, key files and directories from a file, one a line; "-" is standard input.`

// readFleet reads the workers that arguments and a list name. In both, what is a path and
// what is a key can't be mistaken: a key is 64 hexadecimal digits.
func readFleet(args []string, list string, stdin io.Reader) ([]member, error) {
	if list != "" {
		lines, err := readList(list, stdin)
		if err != nil {
			return nil, err
		}
		args = append(slices.Clone(args), lines...)
	}
	if len(args) == 0 {
		return nil, usagef("no workers: name key files, directories or KEY=SIGNATURE,ADDRESS, or give --list FILE")
	}
	var fleet []member
	for _, arg := range args {
		ms, err := readMembers(arg)
		if err != nil {
			return nil, err
		}
		fleet = append(fleet, ms...)
		if len(fleet) > maxFleet {
			return nil, usagef("more than %d workers at once", maxFleet)
		}
	}
	seen := map[work.PublicKey]bool{}
	for _, m := range fleet {
		if seen[m.key] {
			return nil, usagef("worker %s is named twice", m.key)
		}
		seen[m.key] = true
	}
	return fleet, nil
}

func readList(path string, stdin io.Reader) ([]string, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--list: %w", err)
		}
		defer f.Close()
		in = f
	}
	var lines []string
	s := bufio.NewScanner(in)
	s.Buffer(nil, 4096)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
		if len(lines) > maxFleet {
			return nil, usagef("--list %s: more than %d lines", path, maxFleet)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("--list %s: %w", path, err)
	}
	return lines, nil
}

// readMembers reads what one argument names.
func readMembers(arg string) ([]member, error) {
	if len(arg) <= maxFleetLine && len(arg) >= 64 {
		if _, err := work.ParseKey(arg[:64]); err == nil && (len(arg) == 64 || arg[64] == '=' || arg[64] == ',') {
			m, err := parseMember(arg)
			return []member{m}, err
		}
	}
	info, err := os.Stat(arg)
	if err != nil {
		return nil, fmt.Errorf("worker %.80q: want a key file, a directory, or KEY=SIGNATURE,ADDRESS: %w", arg, err)
	}
	if !info.IsDir() {
		m, err := memberOf(arg)
		return []member{m}, err
	}
	if _, err := os.Stat(filepath.Join(arg, "node.key")); err == nil {
		m, err := memberOf(filepath.Join(arg, "node.key"))
		return []member{m}, err
	}
	paths, err := filepath.Glob(filepath.Join(arg, "*", "node.key"))
	if err != nil {
		return nil, fmt.Errorf("worker %.80q: %w", arg, err)
	}
	if len(paths) == 0 {
		return nil, usagef("directory %s: there is no node.key in it or in what it holds", arg)
	}
	var ms []member
	for _, p := range paths {
		m, err := memberOf(p)
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// parseMember reads KEY[=SIGNATURE][,ADDRESS].
func parseMember(s string) (member, error) {
	named, account, hasAccount := strings.Cut(s, ",")
	text, signature, _ := strings.Cut(named, "=")
	key, err := work.ParseKey(text)
	if err != nil {
		return member{}, usageError{err}
	}
	m := member{key: key, account: account}
	if m.signature, err = hex.DecodeString(signature); err != nil {
		return member{}, usagef("worker %s: its signature: %v", key.Short(), err)
	}
	if hasAccount {
		if err := witness.CheckAddress(account); err != nil {
			return member{}, usagef("worker %s: %v", key.Short(), err)
		}
	}
	return m, nil
}

// memberOf reads a key file, and the account key beside it.
func memberOf(path string) (member, error) {
	key, err := worker.LoadKey(path)
	if err != nil {
		return member{}, err
	}
	m := member{key: key.Public(), private: &key}
	account, err := witness.LoadAccount(filepath.Join(filepath.Dir(path), "account.key"))
	if errors.Is(err, witness.ErrNoAccount) {
		return m, nil
	}
	if err != nil {
		return member{}, err
	}
	m.account = account.Address()
	return m, nil
}

// possession is the worker's signature that it belongs to an operator, made where the key
// file is at hand.
func (m member) possession(chainID, operator string) ([]byte, error) {
	if m.private != nil {
		return m.private.SignEnrollment(chainID, operator)
	}
	if err := m.key.VerifyEnrollment(chainID, operator, m.signature); err != nil {
		return nil, fmt.Errorf("worker %s: it did not sign to belong to %s on %s: %w", m.key.Short(), operator, chainID, err)
	}
	return m.signature, nil
}

func workerEnroll(g *globals) *cobra.Command {
	var from, network, region, bond, list, limit string
	var noGrant bool
	var does []string
	c := &cobra.Command{
		Use:   "enroll WORKER...",
		Short: "Enrol workers under an operator's account, bonding each, in one transaction",
		Long: `Enrols workers. The operator's account bonds each of them and is paid for what they do.
` + memberHelp + `

In the same transaction each worker's own account, which holds no funds, is granted what lets it
look after its pay: to challenge a gateway that underpays in the operator's name, and to have the
operator pay the fees of that, of verdicts and of claims, up to --grant-limit each. Workers that
are enrolled already only get the grants that they lack.

A worker is drawn to audit the kinds that it is enrolled for, and fined if it does not answer: one
that will have no models had better be enrolled with --kinds crawl/1.`,
		Example: `  cantus worker enroll /var/lib/cantus/workers --from operator --network AS64500
  cantus worker enroll --list fleet.txt --grant-limit 0.5note
  cantus worker enroll node.key --kinds crawl/1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := readFleet(args, list, cmd.InOrStdin())
			if err != nil {
				return err
			}
			kinds, err := kindsToEnroll(does)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			s, err := g.connect(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			operator, err := s.account(from)
			if err != nil {
				return err
			}
			p, err := s.Params(ctx)
			if err != nil {
				return err
			}
			if len(fleet) > int(p.MaxWorkersPerTx) {
				return usagef("%d workers, at most %d in one transaction", len(fleet), p.MaxWorkersPerTx)
			}
			amount := p.MinWorkerBond
			if bond != "" {
				if amount, err = parseAmount("--bond", bond); err != nil {
					return err
				}
			}
			fees, err := parseAmount("--grant-limit", limit)
			if err != nil {
				return err
			}
			var workers []market.Enrollment
			granted := 0
			for _, m := range fleet {
				sig, err := m.possession(s.net.ChainID, operator.Address.String())
				if err != nil {
					return err
				}
				e := market.Enrollment{Key: m.key, Signature: sig, Kinds: kinds, Network: network, Region: region, Bond: amount, FeeLimit: fees}
				if !noGrant && m.account != "" {
					e.Account = m.account
					granted++
				}
				workers = append(workers, e)
			}
			n, err := market.Enroll(ctx, s.ledger, s.View, operator, workers)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d workers enrolled under %s, %d were already\n", n, operator.Address, len(workers)-n)
			if left := len(workers) - granted; left > 0 && !noGrant {
				fmt.Fprintf(cmd.OutOrStdout(), "%d of them have no account.key beside their key and no address: they can't challenge a gateway by themselves\n", left)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "operator", "the operator's account")
	f.StringSliceVar(&does, "kinds", nil, "kinds of work that they do and audit (default "+kindList(all.Usual())+")")
	f.StringVar(&network, "network", "", "the network they are in, for example an AS number; auditors are drawn from others first")
	f.StringVar(&region, "region", "", "the region they are in")
	f.StringVar(&bond, "bond", "", "bond of each; default: the least that the network takes")
	f.StringVar(&list, "list", "", "file that lists workers, one a line")
	f.BoolVar(&noGrant, "no-grant", false, "grant the workers' accounts nothing")
	f.StringVar(&limit, "grant-limit", "1note", "the fees that each worker's account may spend of the operator's")
	return c
}

// kindsToEnroll are the kinds that --kinds names, or the usual ones.
func kindsToEnroll(names []string) ([]work.Name, error) {
	if len(names) == 0 {
		return all.Usual(), nil
	}
	var kinds []work.Name
	for _, n := range names {
		if !slices.Contains(all.Names(), work.Name(n)) {
			return nil, usagef("--kinds: this program doesn't know %q; it knows %s", n, kindList(all.Names()))
		}
		if !slices.Contains(kinds, work.Name(n)) {
			kinds = append(kinds, work.Name(n))
		}
	}
	return kinds, nil
}

func kindList(kinds []work.Name) string {
	var names []string
	for _, n := range kinds {
		names = append(names, string(n))
	}
	return strings.Join(names, ", ")
}

func workerUnbond(g *globals) *cobra.Command {
	var from, list string
	c := &cobra.Command{
		Use:   "unbond WORKER...",
		Short: "Take workers off the network: ask for their bonds back, and revoke what they were granted",
		Long: `Takes an operator's workers off the network. They get no more work at once; their bonds come
back after the network's unbonding time, until which they can still be slashed. What their
accounts were granted is revoked in the same transaction.
` + memberHelp + `
Here a line needs no signature: KEY,ADDRESS; with the KEY alone nothing is revoked.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := readFleet(args, list, cmd.InOrStdin())
			if err != nil {
				return err
			}
			s, err := g.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			operator, err := s.account(from)
			if err != nil {
				return err
			}
			var workers []work.PublicKey
			var accounts []string
			for _, m := range fleet {
				workers = append(workers, m.key)
				if m.account != "" {
					accounts = append(accounts, m.account)
				}
			}
			at, err := market.Unbond(cmd.Context(), s.ledger, operator, workers, accounts)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d workers leave; their bonds come back to %s at height %d\n", len(workers), operator.Address, at)
			return nil
		},
	}
	c.Flags().StringVar(&from, "from", "operator", "the operator's account")
	c.Flags().StringVar(&list, "list", "", "file that lists workers, one a line")
	return c
}
