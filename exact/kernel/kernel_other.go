//go:build !amd64

package kernel

// Forms are those that this machine has, the fastest last.
func Forms() []*Kernel { return []*Kernel{Portable()} }
