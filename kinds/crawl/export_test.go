package crawl

import "time"

// Hurry makes every phase of an exchange short.
func (k *Kind) Hurry(d time.Duration) {
	k.client.times = timeouts{dial: d, tls: d, head: d, idle: d, total: 4 * d}
}

// Idle is how many connections are kept.
func (k *Kind) Idle() int {
	k.client.pool.mu.Lock()
	defer k.client.pool.mu.Unlock()
	return k.client.pool.n
}

// Undo is undo.
func Undo(b []byte, codings string, limit uint64, cut bool) ([]byte, bool, error) {
	return undo(b, codings, limit, cut)
}

// ReadSitemap is readSitemap.
func ReadSitemap(b []byte, mediaType string) (string, []string) {
	return readSitemap(b, mediaType, false)
}
