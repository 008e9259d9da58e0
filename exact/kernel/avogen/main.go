//go:build ignore

// Generates ../kernel_avx2_amd64.s and ../stub_amd64.go, the AVX2 forms of package kernel's
// functions; exact/kernel/avogen/gen runs it.
//
// The arithmetic is VPMADDWD (pairs of 16-bit products, summed to 32 bits) and VPADDD; no
// instruction in use saturates. Weights are widened to 16 bits as they are loaded: two
// instructions for 16 of them, where the 8-bit VPMADDUBSW needs as many, saturates, and
// leaves only 8 bits to the activations.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	rows      = 8
	chunk     = 16
	panelStep = rows * chunk // bytes of a panel for a chunk of columns
)

func main() {
	ConstraintExpr("amd64")
	one()
	four()
	fourVNNI()
	keys()
	values()
	Generate()
}

// hsum8 gives a register with the sums of eight registers' lanes, in order.
func hsum8(a []VecVirtual) VecVirtual {
	for i := 0; i < 8; i += 2 {
		VPHADDD(a[i+1], a[i], a[i])
	}
	VPHADDD(a[2], a[0], a[0])
	VPHADDD(a[6], a[4], a[4])
	// Each 128-bit half of a[0] has the half sums of rows 0 to 3, of a[4] of 4 to 7.
	lo, hi := YMM(), YMM()
	VPERM2I128(Imm(0x20), a[4], a[0], lo)
	VPERM2I128(Imm(0x31), a[4], a[0], hi)
	VPADDD(hi, lo, lo)
	return lo
}

func zeros(n int) []VecVirtual {
	a := make([]VecVirtual, n)
	for i := range a {
		a[i] = YMM()
		VPXOR(a[i], a[i], a[i])
	}
	return a
}

func one() {
	TEXT("oneAVX2", NOSPLIT, "func(out *int32, w *int8, a *int16, chunks, panels int)")
	Doc("oneAVX2 multiplies panels of weights with one token.")
	out, w, a0 := Load(Param("out"), GP64()), Load(Param("w"), GP64()), Load(Param("a"), GP64())
	chunks, panels := Load(Param("chunks"), GP64()), Load(Param("panels"), GP64())
	Label("onePanel")
	a, n := GP64(), GP64()
	MOVQ(a0, a)
	MOVQ(chunks, n)
	acc := zeros(rows)
	Label("oneChunk")
	x := YMM()
	VMOVDQU(Mem{Base: a}, x)
	// Far enough ahead that the memory is there in time, across panels as well.
	PREFETCHT0(Mem{Base: w, Disp: 1024})
	PREFETCHT0(Mem{Base: w, Disp: 1024 + 64})
	for r := range rows {
		y := YMM()
		VPMOVSXBW(Mem{Base: w, Disp: r * chunk}, y)
		VPMADDWD(x, y, y)
		VPADDD(y, acc[r], acc[r])
	}
	ADDQ(Imm(panelStep), w)
	ADDQ(Imm(chunk*2), a)
	DECQ(n)
	JNZ(LabelRef("oneChunk"))
	VMOVDQU(hsum8(acc), Mem{Base: out})
	ADDQ(Imm(rows*4), out)
	DECQ(panels)
	JNZ(LabelRef("onePanel"))
	VZEROUPPER()
	RET()
}

// four takes two rows and four tokens at a time: eight sums, two rows of weights, a token
// and a product are twelve of the sixteen registers.
func four() {
	TEXT("fourAVX2", NOSPLIT, "func(out *int32, w *int8, a *int16, chunks, stride int)")
	Doc("fourAVX2 multiplies one panel of weights with four tokens.")
	out, w0, a0 := Load(Param("out"), GP64()), Load(Param("w"), GP64()), Load(Param("a"), GP64())
	chunks, stride := Load(Param("chunks"), GP64()), Load(Param("stride"), GP64())
	ADDQ(stride, stride) // in bytes
	stride3 := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	pairs := GP64()
	MOVQ(U32(rows/2), pairs)
	Label("fourPair")
	w, a, n := GP64(), GP64(), GP64()
	MOVQ(w0, w)
	MOVQ(a0, a)
	MOVQ(chunks, n)
	acc := zeros(8) // token·2 + row
	Label("fourChunk")
	y := [2]VecVirtual{YMM(), YMM()}
	VPMOVSXBW(Mem{Base: w}, y[0])
	VPMOVSXBW(Mem{Base: w, Disp: chunk}, y[1])
	tokens := []Mem{{Base: a}, {Base: a, Index: stride, Scale: 1}, {Base: a, Index: stride, Scale: 2}, {Base: a, Index: stride3, Scale: 1}}
	for t, m := range tokens {
		x, p := YMM(), YMM()
		VMOVDQU(m, x)
		VPMADDWD(x, y[0], p)
		VPADDD(p, acc[2*t], acc[2*t])
		VPMADDWD(x, y[1], x)
		VPADDD(x, acc[2*t+1], acc[2*t+1])
	}
	ADDQ(Imm(panelStep), w)
	ADDQ(Imm(chunk*2), a)
	DECQ(n)
	JNZ(LabelRef("fourChunk"))
	s := hsum8(acc)
	lo, hi := s.AsX(), XMM()
	VEXTRACTI128(Imm(1), s, hi)
	VMOVQ(lo, Mem{Base: out})
	VPEXTRQ(Imm(1), lo, Mem{Base: out, Disp: rows * 4})
	VMOVQ(hi, Mem{Base: out, Disp: 2 * rows * 4})
	VPEXTRQ(Imm(1), hi, Mem{Base: out, Disp: 3 * rows * 4})
	ADDQ(Imm(8), out)
	ADDQ(Imm(2*chunk), w0)
	DECQ(pairs)
	JNZ(LabelRef("fourPair"))
	VZEROUPPER()
	RET()
}

// fourVNNI takes the whole panel and four tokens at once: a 512-bit register holds two rows
// of weights, and VPDPWSSD, which does not saturate (VPDPWSSDS does), multiplies and adds in
// one step. Registers are named, because the upper sixteen only suit some instructions.
func fourVNNI() {
	TEXT("fourVNNI", NOSPLIT, "func(out *int32, w *int8, a *int16, chunks, stride int)")
	Doc("fourVNNI multiplies one panel of weights with four tokens.")
	out, w, a := Load(Param("out"), GP64()), Load(Param("w"), GP64()), Load(Param("a"), GP64())
	chunks, stride := Load(Param("chunks"), GP64()), Load(Param("stride"), GP64())
	ADDQ(stride, stride) // in bytes
	stride3 := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	acc := []VecPhysical{Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31} // token·4 + pair of rows
	for _, z := range acc {
		VPXORQ(z, z, z)
	}
	y := []VecPhysical{Z0, Z1, Z2, Z3}
	Label("vnniChunk")
	for i, z := range y {
		VPMOVSXBW(Mem{Base: w, Disp: i * 2 * chunk}, z)
	}
	for t, m := range []Mem{{Base: a}, {Base: a, Index: stride, Scale: 1}, {Base: a, Index: stride, Scale: 2}, {Base: a, Index: stride3, Scale: 1}} {
		x := []VecPhysical{Z4, Z5, Z6, Z7}[t]
		VBROADCASTI64X4(m, x)
		for i, z := range y {
			VPDPWSSD(x, z, acc[4*t+i])
		}
	}
	ADDQ(Imm(panelStep), w)
	ADDQ(Imm(chunk*2), a)
	DECQ(chunks)
	JNZ(LabelRef("vnniChunk"))
	for t := range 4 {
		h := []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7}
		for i := range 4 {
			VEXTRACTI64X4(Imm(0), acc[4*t+i], h[2*i])
			VEXTRACTI64X4(Imm(1), acc[4*t+i], h[2*i+1])
		}
		for i := 0; i < 8; i += 2 {
			VPHADDD(h[i+1], h[i], h[i])
		}
		VPHADDD(h[2], h[0], h[0])
		VPHADDD(h[6], h[4], h[4])
		VPERM2I128(Imm(0x20), Y4, Y0, Y1)
		VPERM2I128(Imm(0x31), Y4, Y0, Y2)
		VPADDD(Y2, Y1, Y1)
		VMOVDQU(Y1, Mem{Base: out, Disp: t * rows * 4})
	}
	VZEROUPPER()
	RET()
}

func keys() {
	TEXT("keysAVX2", NOSPLIT, "func(out *int32, q, k *int16, chunks int)")
	Doc("keysAVX2 multiplies a query with the 32 keys of a page.")
	out, q0, k := Load(Param("out"), GP64()), Load(Param("q"), GP64()), Load(Param("k"), GP64())
	chunks := Load(Param("chunks"), GP64())
	stride := GP64()
	MOVQ(chunks, stride)
	SHLQ(Imm(5), stride) // bytes of a key
	stride3 := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	left := GP64()
	MOVQ(U32(4), left)
	Label("keysEight")
	q, n, k4 := GP64(), GP64(), GP64()
	MOVQ(q0, q)
	MOVQ(chunks, n)
	LEAQ(Mem{Base: k, Index: stride, Scale: 4}, k4)
	acc := zeros(8)
	Label("keysChunk")
	x := YMM()
	VMOVDQU(Mem{Base: q}, x)
	for half, base := range []Register{k, k4} {
		ms := []Mem{{Base: base}, {Base: base, Index: stride, Scale: 1}, {Base: base, Index: stride, Scale: 2}, {Base: base, Index: stride3, Scale: 1}}
		for i, m := range ms {
			p := YMM()
			VPMADDWD(m, x, p)
			VPADDD(p, acc[half*4+i], acc[half*4+i])
		}
	}
	ADDQ(Imm(chunk*2), q)
	ADDQ(Imm(chunk*2), k)
	ADDQ(Imm(chunk*2), k4)
	DECQ(n)
	JNZ(LabelRef("keysChunk"))
	VMOVDQU(hsum8(acc), Mem{Base: out})
	ADDQ(Imm(32), out)
	// k is past the first key; seven more.
	LEAQ(Mem{Base: k, Index: stride, Scale: 4}, k)
	ADDQ(stride3, k)
	DECQ(left)
	JNZ(LabelRef("keysEight"))
	VZEROUPPER()
	RET()
}

func values() {
	TEXT("valuesAVX2", NOSPLIT, "func(total *int64, w, v *int16, chunks int)")
	Doc("valuesAVX2 adds the weighted values of a page to the totals.")
	total, w, v0 := Load(Param("total"), GP64()), Load(Param("w"), GP64()), Load(Param("v"), GP64())
	chunks := Load(Param("chunks"), GP64())
	stride := GP64()
	MOVQ(chunks, stride)
	SHLQ(Imm(6), stride) // bytes of a pair of positions
	Label("valuesChunk")
	v := GP64()
	MOVQ(v0, v)
	acc := zeros(2)
	for pair := range 16 {
		x, p, r := YMM(), YMM(), YMM()
		VPBROADCASTD(Mem{Base: w, Disp: pair * 4}, x)
		VPMADDWD(Mem{Base: v}, x, p)
		VPADDD(p, acc[0], acc[0])
		VPMADDWD(Mem{Base: v, Disp: 32}, x, r)
		VPADDD(r, acc[1], acc[1])
		ADDQ(stride, v)
	}
	for i, a := range acc {
		lo, hi, x := YMM(), YMM(), XMM()
		VPMOVSXDQ(a.AsX(), lo)
		VEXTRACTI128(Imm(1), a, x)
		VPMOVSXDQ(x, hi)
		VPADDQ(Mem{Base: total, Disp: i * 64}, lo, lo)
		VPADDQ(Mem{Base: total, Disp: i*64 + 32}, hi, hi)
		VMOVDQU(lo, Mem{Base: total, Disp: i * 64})
		VMOVDQU(hi, Mem{Base: total, Disp: i*64 + 32})
	}
	ADDQ(U32(128), total)
	ADDQ(Imm(64), v0)
	DECQ(chunks)
	JNZ(LabelRef("valuesChunk"))
	VZEROUPPER()
	RET()
}
