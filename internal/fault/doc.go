// Package fault makes, for tests, the faults that networks and disks have.
//
//	proxy.go  Proxy: a link that is slow, jams, is cut, or goes silent without a word
//	disk.go   Disk: a file system of a test's own with exactly so much room left
//	sweep.go  Positions: every place where a fault can strike, or some of them
//
// docs/faults.md says what the parts of the network do under each fault; the tests named
// *_fault_test.go hold it to that.
package fault
