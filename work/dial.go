package work

import (
	"context"
	"errors"
	"net"
)

// DialFunc opens a connection as net.Dialer.DialContext does. The one that a worker
// hands to its kinds checks the address that it connects to after the name was resolved.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// ErrForbiddenAddress is in the error of a DialFunc that refused an address: a private,
// loopback, link-local, multicast or metadata one that the network does not allow.
var ErrForbiddenAddress = errors.New("address is not allowed")
