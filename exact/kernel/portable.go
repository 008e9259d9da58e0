package kernel

func onePortable(out []int32, w []int8, a []int16, chunks, panels int) {
	for p := range panels {
		panel(out[p*PanelRows:], w[p*chunks*PanelRows*Chunk:], a, chunks)
	}
}

func fourPortable(out []int32, w []int8, a []int16, chunks, stride int) {
	for t := range PanelTokens {
		panel(out[t*PanelRows:], w, a[t*stride:], chunks)
	}
}

func panel(out []int32, w []int8, a []int16, chunks int) {
	sums := (*[PanelRows]int32)(out)
	*sums = [PanelRows]int32{}
	for c := range chunks {
		x := (*[Chunk]int16)(a[c*Chunk:])
		for r := range sums {
			y := (*[Chunk]int8)(w[(c*PanelRows+r)*Chunk:])
			var s int32
			for i, v := range x {
				s += int32(v) * int32(y[i])
			}
			sums[r] += s
		}
	}
}

func keysPortable(out []int32, q, k []int16, chunks int) {
	n := chunks * Chunk
	q = q[:n]
	for t := range Page {
		key := k[t*n : t*n+n]
		var s int32
		for i, v := range q {
			s += int32(v) * int32(key[i])
		}
		out[t] = s
	}
}

func valuesPortable(total []int64, w, v []int16, chunks int) {
	n := chunks * Chunk
	total = total[:n]
	for t := 0; t < Page; t += 2 {
		a, b := int32(w[t]), int32(w[t+1])
		if a|b == 0 {
			continue
		}
		pair := v[t*n : (t+2)*n]
		for j := range total {
			total[j] += int64(a*int32(pair[2*j]) + b*int32(pair[2*j+1]))
		}
	}
}
