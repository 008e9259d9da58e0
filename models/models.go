// Package models has the demo model inside it: a language model of 2.2 million weights that
// was trained for this repository, on WordNet, to say what English words mean. It is for
// trying the network out. docs/models.md says how it was made and what it is worth, and
// demo/train makes it again.
//
// Only the command cantus imports this package: a worker need not carry a model that it
// can pull.
package models

import (
	_ "embed" // the model's file
	"strings"
)

// DemoName is what the demo model is called.
const DemoName = "demo"

// DemoLicence is the demo model's licence: that of WordNet, which all that it says comes from.
const DemoLicence = "WordNet-3.0"

//go:embed demo/demo.cantus
var demo string

// Demo is the demo model's file.
func Demo() *strings.Reader { return strings.NewReader(demo) }
