package measured_test

import "math"

func exp(score int32) float64 { return math.Exp(float64(score) / 1000) }
