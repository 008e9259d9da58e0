// Package modeldir keeps the models that a machine has, each in a file that is named after
// its root and never changes:
//
//	<root>.cantus  the model, as exact/modelfile describes it
//	<root>.json    what is known beside: its name here, where it came from, its licence
//	<root>.part    what has come of a model that is being pulled
//
// There is no other index, and every file comes into being by one rename, so any number of
// processes may use a directory at once and a crash leaves nothing half done.
//
// # Map
//
//	dir.go     Dir: List, Find, Remove; Entry
//	open.go    Open: a model's configuration and tokenizer without its weights; Load, Verify
//	add.go     Add: a model's file taken in, on disk in one step
//	import.go  Import: from GGUF, safetensors or a model's file
//	pull.go    Pull: from another machine, going on where it stopped, checked against the root
//	serve.go   Handler: for others to pull from
package modeldir
