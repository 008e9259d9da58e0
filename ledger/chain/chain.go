// Package chain holds what every part of Cantus must agree on about the
// ledger: names, denominations, address prefixes and identifiers. It also
// applies them to the Cosmos SDK's process-wide settings, once.
//
// It is small on purpose: a program that only needs to format an address
// or an amount imports this and nothing else of the ledger.
package chain

import (
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

const (
	// Name is the name of the application as its ABCI and its genesis files give it.
	Name = "cantus"

	// Bech32Prefix opens every account address: cantus1….
	Bech32Prefix = "cantus"

	// BaseDenom is the smallest unit, 10⁻¹⁸ note. Every amount on the ledger is in it.
	BaseDenom = "anote"
	// DisplayDenom is the unit that people read and write.
	DisplayDenom = "note"
	// Decimals is the number of digits between the two.
	Decimals = 18

	// CoinType is Ethereum's: one mnemonic gives the same key here and in an
	// Ethereum wallet.
	CoinType = 60

	// DevnetID is the chain ID of the one-machine network.
	DevnetID = "cantus-dev-1"
	// DefaultEVMChainID is the EIP-155 chain ID of a network whose genesis names
	// none. It is the one value with which the EVM module lets a second node live
	// in the same process.
	DefaultEVMChainID uint64 = 262144
)

// configScope replaces the SDK's key for its settings, which it would otherwise
// work out anew (host name, executable, process) on each of very many reads.
const configScope = "cantus"

var configure sync.Once

// Configure applies the ledger's prefixes and units to the SDK's process-wide
// settings. Everything that formats or parses an address calls it first; it may
// be called any number of times, from any goroutine.
func Configure() {
	configure.Do(func() {
		if _, set := os.LookupEnv(sdk.EnvConfigScope); !set {
			_ = os.Setenv(sdk.EnvConfigScope, configScope)
		}
		c := sdk.GetConfig()
		c.SetBech32PrefixForAccount(Bech32Prefix, Bech32Prefix+sdk.PrefixPublic)
		c.SetBech32PrefixForValidator(
			Bech32Prefix+sdk.PrefixValidator+sdk.PrefixOperator,
			Bech32Prefix+sdk.PrefixValidator+sdk.PrefixOperator+sdk.PrefixPublic)
		c.SetBech32PrefixForConsensusNode(
			Bech32Prefix+sdk.PrefixValidator+sdk.PrefixConsensus,
			Bech32Prefix+sdk.PrefixValidator+sdk.PrefixConsensus+sdk.PrefixPublic)
		c.SetCoinType(CoinType)
		c.SetPurpose(sdk.Purpose)
		sdk.DefaultBondDenom = BaseDenom
		// One unit of voting power is one note.
		sdk.DefaultPowerReduction = Notes(1)
	})
}

// Notes is n notes in the base denomination.
func Notes(n int64) math.Int {
	return math.NewInt(n).Mul(math.NewIntFromBigInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(Decimals), nil)))
}

// Coins is an amount of the base denomination as the SDK's messages carry it.
func Coins(amount math.Int) sdk.Coins { return sdk.NewCoins(sdk.NewCoin(BaseDenom, amount)) }

// maxAmountDigits bounds what ParseAmount reads: more digits than any supply has.
const maxAmountDigits = 60

// ParseAmount reads an amount that a person wrote, "5note", "0.25note" or
// "1000anote", as a number of the base denomination.
func ParseAmount(s string) (math.Int, error) {
	num, unit := s, ""
	if i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }); i >= 0 {
		num, unit = s[:i], s[i:]
	}
	bad := func(why string) (math.Int, error) {
		return math.Int{}, fmt.Errorf("amount %.80q: %s; write it like 5%s, 0.25%s or 1000%s",
			s, why, DisplayDenom, DisplayDenom, BaseDenom)
	}
	whole, frac, point := strings.Cut(num, ".")
	switch {
	case whole == "" || (point && frac == "") || strings.Contains(frac, "."):
		return bad("not a number")
	case len(num) > maxAmountDigits:
		return bad("too many digits")
	case unit == "":
		return bad("the unit is missing")
	case unit != BaseDenom && unit != DisplayDenom:
		return bad("the unit is neither " + DisplayDenom + " nor " + BaseDenom)
	case unit == BaseDenom && point:
		return bad("there is nothing smaller than one " + BaseDenom)
	case len(frac) > Decimals:
		return bad(fmt.Sprintf("at most %d digits follow the point", Decimals))
	}
	if unit == DisplayDenom {
		whole += frac + strings.Repeat("0", Decimals-len(frac))
	}
	// The SDK would take a leading zero for the sign of an octal number.
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	// Not math.NewIntFromString: it takes a leading zero, as 0.001note has, for octal.
	v, ok := new(big.Int).SetString(whole, 10)
	if !ok || v.BitLen() > math.MaxBitLen {
		return bad("not a number")
	}
	return math.NewIntFromBigInt(v), nil
}

// FormatAmount writes an amount of the base denomination in notes, without
// trailing zeros: "0.25note". It is exact, and ParseAmount reads it back.
func FormatAmount(v math.Int) string {
	if v.IsNil() {
		return "0" + DisplayDenom
	}
	s, sign := v.String(), ""
	if strings.HasPrefix(s, "-") {
		s, sign = s[1:], "-"
	}
	if len(s) <= Decimals {
		s = strings.Repeat("0", Decimals-len(s)+1) + s
	}
	whole, frac := s[:len(s)-Decimals], strings.TrimRight(s[len(s)-Decimals:], "0")
	if frac != "" {
		frac = "." + frac
	}
	return sign + whole + frac + DisplayDenom
}
