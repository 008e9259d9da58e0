package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// Invariants checks that every record is one that the register can hold, that parents come
// before their children, and that each index lists exactly what the records say. It reads
// everything and returns what is broken.
func (k *Keeper) Invariants(ctx context.Context) ([]string, error) {
	c := checker{k: k}
	if err := c.records(ctx); err != nil {
		return nil, err
	}
	if err := c.indexes(ctx); err != nil {
		return nil, err
	}
	return c.broken, nil
}

type checker struct {
	k      *Keeper
	broken []string
	// What the records say the indexes must hold.
	artifacts, edges int
}

func (c *checker) fail(format string, args ...any) {
	c.broken = append(c.broken, fmt.Sprintf(format, args...))
}

func (c *checker) records(ctx context.Context) error {
	err := c.k.artifacts.Walk(ctx, nil, func(n uint64, a types.Artifact) (bool, error) {
		c.artifacts++
		c.edges += len(a.Parents)
		if n != uint64(c.artifacts) || a.Number != n {
			c.fail("artifact %s is number %d at place %d, want %d", a.Cid, a.Number, n, c.artifacts)
		}
		if err := a.Check(); err != nil {
			c.fail("artifact %d: %v", n, err)
		}
		return false, c.links(ctx, a)
	})
	if err != nil {
		return fmt.Errorf("check the artifacts: %w", err)
	}
	last, err := c.k.next.Peek(ctx)
	if err != nil {
		return fmt.Errorf("check the number of artifacts: %w", err)
	}
	if last != uint64(c.artifacts) {
		c.fail("%d artifacts were numbered, %d are there", last, c.artifacts)
	}
	return nil
}

// links checks that the indexes lead to a record.
func (c *checker) links(ctx context.Context, a types.Artifact) error {
	if n, err := c.k.numbers.Get(ctx, a.Cid); err != nil && !errors.Is(err, collections.ErrNotFound) {
		return err
	} else if n != a.Number {
		c.fail("artifact %d is not found under %s", a.Number, a.Cid)
	}
	owner, text, err := c.k.account(a.Owner)
	if err != nil || text != a.Owner {
		c.fail("artifact %d: owner %q", a.Number, a.Owner)
		return nil
	}
	if ok, err := c.k.byOwner.Has(ctx, collections.Join(owner, a.Number)); err != nil {
		return err
	} else if !ok {
		c.fail("artifact %d is not listed under its owner", a.Number)
	}
	for _, p := range a.Parents {
		n, err := c.k.numbers.Get(ctx, p.Cid)
		if err != nil && !errors.Is(err, collections.ErrNotFound) {
			return err
		}
		if n == 0 || n >= a.Number {
			c.fail("parent %s of artifact %d does not come before it", p.Cid, a.Number)
		}
		if ok, err := c.k.children.Has(ctx, collections.Join(n, a.Number)); err != nil {
			return err
		} else if !ok {
			c.fail("artifact %d is not listed under its parent %s", a.Number, p.Cid)
		}
	}
	return nil
}

// indexes checks that they hold no more than the records led to.
func (c *checker) indexes(ctx context.Context) error {
	numbers, owners, edges := 0, 0, 0
	if err := c.k.numbers.Walk(ctx, nil, func(string, uint64) (bool, error) { numbers++; return false, nil }); err != nil {
		return fmt.Errorf("check the CIDs: %w", err)
	}
	if err := c.k.byOwner.Walk(ctx, nil, func(collections.Pair[sdk.AccAddress, uint64]) (bool, error) { owners++; return false, nil }); err != nil {
		return fmt.Errorf("check the owners: %w", err)
	}
	if err := c.k.children.Walk(ctx, nil, func(edge) (bool, error) { edges++; return false, nil }); err != nil {
		return fmt.Errorf("check the children: %w", err)
	}
	if numbers != c.artifacts || owners != c.artifacts || edges != c.edges {
		c.fail("%d artifacts with %d parents, but %d CIDs, %d under owners and %d under parents", c.artifacts, c.edges, numbers, owners, edges)
	}
	return nil
}
