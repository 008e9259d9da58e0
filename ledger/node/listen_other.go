//go:build !unix

package node

import "strings"

func isInUse(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Only one usage of each socket address")
}
