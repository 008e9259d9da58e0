package model

import "github.com/cantus-network/cantus/exact/modelfile"

// What a model's file is like, package modelfile says, for those that have no engine. Here
// are its names for those that have one.
type (
	// Config is the shape of a model and the constants of its arithmetic.
	Config = modelfile.Config
	// Digest is a SHA-256 hash.
	Digest = modelfile.Digest
	// Part names a tensor of a model.
	Part = modelfile.Part
	// Layout says where in a file things lie.
	Layout = modelfile.Layout
	// Span is a part of a file.
	Span = modelfile.Span
	// Tree takes a file as it is written to it and keeps what its root needs.
	Tree = modelfile.Tree
	// Proof shows one piece of a file against its root.
	Proof = modelfile.Proof
)

// Bounds of a Config, and the pieces of a file.
const (
	MaxVocab  = modelfile.MaxVocab
	MaxLayers = modelfile.MaxLayers
	MaxHeads  = modelfile.MaxHeads
	PieceSize = modelfile.PieceSize
)

// The parts of a model.
const (
	Embedding  = modelfile.Embedding
	AttnNorm   = modelfile.AttnNorm
	Query      = modelfile.Query
	Key        = modelfile.Key
	Value      = modelfile.Value
	QueryNorm  = modelfile.QueryNorm
	KeyNorm    = modelfile.KeyNorm
	AttnOut    = modelfile.AttnOut
	FFNNorm    = modelfile.FFNNorm
	Gate       = modelfile.Gate
	Up         = modelfile.Up
	Down       = modelfile.Down
	OutputNorm = modelfile.OutputNorm
	Output     = modelfile.Output
)

// Errors of package modelfile.
var (
	ErrConfig = modelfile.ErrConfig
	ErrFile   = modelfile.ErrFile
	ErrProof  = modelfile.ErrProof
)

// Functions of package modelfile.
var (
	Root      = modelfile.Root
	Prove     = modelfile.Prove
	NewLayout = modelfile.NewLayout
)
