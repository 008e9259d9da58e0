package crawl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/cantus-network/cantus/work"
)

// Why an exchange came to nothing: the values of Record.Error.
const (
	ErrDNS         = "dns"               // the name has no address
	ErrForbidden   = "forbidden-address" // the name has an address that the network does not allow
	ErrRefused     = "refused"           // nobody listens there
	ErrUnreachable = "unreachable"       // no route to the host
	ErrTimeout     = "timeout"           // one of the phases took too long
	ErrTLS         = "tls"               // no secure connection, or a certificate that is not the host's
	ErrReset       = "reset"             // the connection ended before the response did
	ErrTooLarge    = "too-large"         // the response's head has no end
	ErrProtocol    = "protocol"          // what was sent is not HTTP
)

var classes = []string{ErrDNS, ErrForbidden, ErrRefused, ErrUnreachable, ErrTimeout, ErrTLS, ErrReset, ErrTooLarge, ErrProtocol}

// hostTrouble reports whether an error class says something of the host rather than of
// the one address.
func hostTrouble(class string) bool {
	return slices.Contains([]string{ErrDNS, ErrRefused, ErrUnreachable, ErrTimeout, ErrTLS}, class)
}

var (
	errHeadTooLarge = errors.New("the response's head is too long")
	errProtocol     = errors.New("not a valid HTTP response")
	errTLS          = errors.New("no secure connection")
	errDial         = errors.New("no connection")
	errMachine      = errors.New("this machine is out of resources")
)

// classify names the class of an exchange's error; "" means that the fault is this
// machine's, and another worker should try.
func classify(err error) string {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	var record tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, errMachine), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, context.Canceled):
		return ""
	case errors.Is(err, work.ErrForbiddenAddress):
		return ErrForbidden
	case errors.As(err, &dns):
		return ErrDNS
	case errors.Is(err, errHeadTooLarge):
		return ErrTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return ErrTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return ErrUnreachable
	case errors.Is(err, errTLS), errors.As(err, &record), errors.As(err, &cert), errors.As(err, &alert), errors.As(err, &unknown):
		return ErrTLS
	case errors.Is(err, errProtocol):
		return ErrProtocol
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return ErrReset
	case errors.Is(err, errDial):
		return ErrUnreachable
	}
	return ErrProtocol
}
