package exact

// Sigmoid is 1/(1+e^-x) of a wide value, with 30 fraction bits: a table in steps of 1/64
// up to 16, and a straight line between its entries; 1 from 16 on.
func Sigmoid(x int32) int32 {
	a := int64(x)
	if a < 0 {
		a = -a
	}
	s := int64(1) << 30
	if i := a >> 10; i < 1024 {
		s = int64(sigmoidTable[i])
		s += Round((int64(sigmoidTable[i+1])-s)*(a&1023), 10)
	}
	if x < 0 {
		s = 1<<30 - s
	}
	return int32(s)
}

// GateExp is the exponent of what Gate writes.
const GateExp = -2 * WideBits

// Gate is SiLU(gate)·up: gate·Sigmoid(gate) rounded to a wide value, times up, exactly.
func Gate(dst []int64, gate, up []int32) {
	up, dst = up[:len(gate)], dst[:len(gate)]
	for i, g := range gate {
		dst[i] = Round(int64(g)*int64(Sigmoid(g)), 30) * int64(up[i])
	}
}
