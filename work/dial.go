package work

import (
	"context"
	"net"
)

// DialFunc opens a connection as net.Dialer.DialContext does. The one that a worker
// hands to its kinds checks the address that it connects to after the name was resolved.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)
