package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/keys"
)

// ring opens the home's accounts: unencrypted where `cantus up` has made them for its
// worthless notes, with a passphrase otherwise.
func (g *globals) ring() (keys.Ring, error) {
	if g.home().DevKeyring() {
		return keys.OpenUnencrypted(g.home().Keyring())
	}
	return keys.Open(g.home().Keyring())
}

type accountRow struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Hex     string `json:"hex"`
	Balance string `json:"balance,omitempty"` // anote
}

func accountCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "account", Short: "Accounts: who pays, is paid and signs transactions"}
	var fromFile string
	create := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an account and print the words that bring it back",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.home().Create(); err != nil {
				return err
			}
			ring, err := g.ring()
			if err != nil {
				return err
			}
			words, err := keys.Create(ring, args[0])
			if err != nil {
				return err
			}
			a, err := keys.Find(ring, args[0])
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]string{"name": a.Name, "address": a.Address.String(), "hex": a.Hex(), "mnemonic": words})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n\nWrite these words down. They are the account, and they are shown once:\n\n%s\n", a.Address, a.Hex(), words)
			return nil
		},
	}
	imp := &cobra.Command{
		Use:   "import NAME",
		Short: "Import an account from its words, or a private key in hexadecimal",
		Long: `Reads a mnemonic or a private key of 64 hexadecimal digits from --file, or else from
standard input. Neither is ever taken from the command line, where other users would see it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if fromFile != "" {
				f, err := os.Open(fromFile)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			secret, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("read the secret: %w", err)
			}
			if secret = strings.TrimSpace(secret); secret == "" {
				return errors.New("no words and no key were given on standard input")
			}
			ring, err := g.ring()
			if err != nil {
				return err
			}
			if strings.Contains(secret, " ") {
				err = keys.Import(ring, args[0], secret)
			} else {
				err = keys.ImportHex(ring, args[0], secret)
			}
			if err != nil {
				return err
			}
			return showAccount(cmd, g, args[0])
		},
	}
	imp.Flags().StringVar(&fromFile, "file", "", "read the secret from this file")
	show := &cobra.Command{
		Use:   "show NAME|ADDRESS",
		Short: "Show an account's addresses and, where a network answers, its balance",
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return showAccount(cmd, g, args[0]) },
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the accounts of the home directory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ring, err := g.ring()
			if err != nil {
				return err
			}
			accounts, err := keys.List(ring)
			if err != nil {
				return err
			}
			rows := make([]accountRow, 0, len(accounts))
			s, _ := g.tryConnect(cmd.Context())
			if s != nil {
				defer s.Close()
			}
			for _, a := range accounts {
				r := accountRow{Name: a.Name, Address: a.Address.String(), Hex: a.Hex()}
				if s != nil {
					b, err := s.balance(cmd.Context(), a.Address.String())
					if err != nil {
						return err
					}
					r.Balance = b.String()
				}
				rows = append(rows, r)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			out := [][]string{{"NAME", "ADDRESS", "HEX", "BALANCE"}}
			for _, r := range rows {
				out = append(out, []string{r.Name, r.Address, r.Hex, notes(r.Balance)})
			}
			return table(cmd.OutOrStdout(), out)
		},
	}
	var from string
	send := &cobra.Command{
		Use:   "send TO AMOUNT",
		Short: "Send notes to an address, cantus1… or 0x…",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := parseAddress(args[0])
			if err != nil {
				return err
			}
			amount, err := parseAmount("AMOUNT", args[1])
			if err != nil {
				return err
			}
			s, err := g.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			a, err := s.account(from)
			if err != nil {
				return err
			}
			height, hash, err := s.send(cmd.Context(), a.Name, &banktypes.MsgSend{FromAddress: a.Address.String(), ToAddress: to.String(), Amount: chain.Coins(amount)})
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"height": height, "tx": hash})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "sent %s to %s in block %d (%s)\n", chain.FormatAmount(amount), to, height, hash)
			return nil
		},
	}
	send.Flags().StringVar(&from, "from", "buyer", "account that pays")
	c.AddCommand(create, imp, show, list, send)
	return c
}

func showAccount(cmd *cobra.Command, g *globals, name string) error {
	r := accountRow{}
	if addr, err := parseAddress(name); err == nil {
		r = accountRow{Address: addr.String(), Hex: keys.Account{Address: addr}.Hex()}
	} else {
		ring, err := g.ring()
		if err != nil {
			return err
		}
		a, err := keys.Find(ring, name)
		if err != nil {
			return fmt.Errorf("%w; `cantus account list` shows the accounts of %s", err, g.home())
		}
		r = accountRow{Name: a.Name, Address: a.Address.String(), Hex: a.Hex()}
	}
	if s, _ := g.tryConnect(cmd.Context()); s != nil {
		defer s.Close()
		b, err := s.balance(cmd.Context(), r.Address)
		if err != nil {
			return err
		}
		r.Balance = b.String()
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	return table(cmd.OutOrStdout(), [][]string{{"NAME", "ADDRESS", "HEX", "BALANCE"}, {r.Name, r.Address, r.Hex, notes(r.Balance)}})
}

// parseAddress reads an address in either of its forms.
func parseAddress(s string) (sdk.AccAddress, error) {
	chain.Configure()
	if strings.HasPrefix(s, "0x") && len(s) == 42 {
		b, err := sdk.AccAddressFromHexUnsafe(s[2:])
		if err != nil {
			return nil, fmt.Errorf("address %.80q: %w", s, err)
		}
		return b, nil
	}
	b, err := sdk.AccAddressFromBech32(s)
	if err != nil {
		return nil, fmt.Errorf("address %.80q: want cantus1… or 0x…: %w", s, err)
	}
	return b, nil
}
