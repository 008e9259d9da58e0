package infer

import "github.com/cantus-network/cantus/kinds/infer/openai"

// NetworkOf is what the routes of a kind use.
func NetworkOf(k *Kind) openai.Network { return network{k} }
