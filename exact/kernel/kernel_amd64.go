package kernel

import "golang.org/x/sys/cpu"

// Forms are those that this machine has, the fastest last.
func Forms() []*Kernel {
	forms := []*Kernel{Portable()}
	if cpu.X86.HasAVX2 {
		forms = append(forms, avx2())
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VNNI {
			forms = append(forms, vnni())
		}
	}
	return forms
}

// vnni is avx2 but for prompts, which wait for arithmetic and not for memory.
func vnni() *Kernel {
	k := avx2()
	k.Name = "vnni"
	k.four = func(out []int32, w []int8, a []int16, chunks, stride int) {
		if chunks == 0 {
			clear(out[:PanelTokens*PanelRows])
			return
		}
		_, _, _ = out[PanelTokens*PanelRows-1], w[chunks*PanelRows*Chunk-1], a[(PanelTokens-1)*stride+chunks*Chunk-1]
		fourVNNI(&out[0], &w[0], &a[0], chunks, stride)
	}
	return k
}

// avx2 hands the slices' first elements to the assembly, after one check each of what it
// will read and write.
func avx2() *Kernel {
	return &Kernel{
		Name: "avx2",
		one: func(out []int32, w []int8, a []int16, chunks, panels int) {
			if panels == 0 || chunks == 0 {
				clear(out[:panels*PanelRows])
				return
			}
			_, _, _ = out[panels*PanelRows-1], w[panels*chunks*PanelRows*Chunk-1], a[chunks*Chunk-1]
			oneAVX2(&out[0], &w[0], &a[0], chunks, panels)
		},
		four: func(out []int32, w []int8, a []int16, chunks, stride int) {
			if chunks == 0 {
				clear(out[:PanelTokens*PanelRows])
				return
			}
			_, _, _ = out[PanelTokens*PanelRows-1], w[chunks*PanelRows*Chunk-1], a[(PanelTokens-1)*stride+chunks*Chunk-1]
			fourAVX2(&out[0], &w[0], &a[0], chunks, stride)
		},
		keys: func(out []int32, q, k []int16, chunks int) {
			if chunks == 0 {
				clear(out[:Page])
				return
			}
			_, _, _ = out[Page-1], q[chunks*Chunk-1], k[Page*chunks*Chunk-1]
			keysAVX2(&out[0], &q[0], &k[0], chunks)
		},
		values: func(total []int64, w, v []int16, chunks int) {
			if chunks == 0 {
				return
			}
			_, _, _ = total[chunks*Chunk-1], w[Page-1], v[Page*chunks*Chunk-1]
			valuesAVX2(&total[0], &w[0], &v[0], chunks)
		},
	}
}
