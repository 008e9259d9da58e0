// Package frontier keeps the addresses that a crawl knows and says which may be asked for
// now, politely.
//
// # Map
//
//	frontier.go  Frontier, Open: Add, Next, Finish, Stats
//	host.go      one origin: its queue, its pace, its robots.txt
//	queue.go     queues on disk with a window in memory
//	lane.go      hosts that share a server take turns
//	seen.go      which addresses are known
//	retry.go     addresses that wait for another try
//	store.go     how all of it is kept in a work.State
//
// # How it works
//
// An address that Add has not seen goes to the end of its origin's queue, on disk. Origins
// with something to do wait in a heap for the time when they may be asked again. Next takes
// those whose time has come: first for their robots.txt, then for a group of addresses,
// which one worker asks for in order over one connection. Only when the group is finished
// does the origin wait again. Memory holds the origins, a window of each active queue
// and the addresses seen last; everything else is in the state.
//
// # What survives
//
// Every call writes what it changed into the batch that it is given. State is read as of
// the last commit, so a key that was written lately may not be there yet: queues are read
// in the order of their numbers, behind what memory has given out, and the addresses seen
// last are remembered exactly. Opening the state after any commit goes on from there.
package frontier
