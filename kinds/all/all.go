// Package all is the one list of the kinds of work that this program knows.
package all

import (
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
)

// Kinds makes one of each kind. A worker, a gateway and an auditor each make their own,
// because a kind's caches belong to the machine and the dialer that it is used with.
func Kinds() []work.Kind {
	return []work.Kind{crawl.New()}
}
