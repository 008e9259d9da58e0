package types

import (
	"crypto/sha256"
	"encoding/binary"
)

// ProbeSize is how many active workers are considered as a sample's auditors.
const ProbeSize = 128

// Probe returns the places in a roster of size workers that are considered as auditors of
// a sample: all of them while there are few, else ProbeSize distinct ones that the beacon
// draws, each place as likely as any other. It reads a bounded part of the roster however
// large that grows, and since the roster is numbered densely by place, nobody gains by
// choosing where among all keys its own lie.
func Probe(beacon [32]byte, sample uint32, size uint64) []uint64 {
	if size <= ProbeSize {
		all := make([]uint64, size)
		for i := range all {
			all[i] = uint64(i)
		}
		return all
	}
	// Floyd's way to draw distinct numbers: one draw each, and never a retry.
	places := make([]uint64, 0, ProbeSize)
	seen := make(map[uint64]struct{}, ProbeSize)
	for i := size - ProbeSize; i < size; i++ {
		p := draw(beacon, sample, i) % (i + 1) // i+1 is far below 2⁶⁴: no bias worth the name
		if _, taken := seen[p]; taken {
			p = i
		}
		seen[p] = struct{}{}
		places = append(places, p)
	}
	return places
}

func draw(beacon [32]byte, sample uint32, i uint64) uint64 {
	const domain = "cantus/roster/1\x00"
	b := make([]byte, 0, len(domain)+32+4+8)
	b = append(b, domain...)
	b = append(b, beacon[:]...)
	b = binary.BigEndian.AppendUint32(b, sample)
	b = binary.BigEndian.AppendUint64(b, i)
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:])
}
