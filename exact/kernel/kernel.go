package kernel

// PanelRows is how many rows of a matrix lie interleaved, Chunk how many columns of each
// follow one another, and Page how many positions of keys and values are taken at once.
const (
	PanelRows = 8
	Chunk     = 16
	Page      = 32
)

// PanelTokens is how many tokens are multiplied with a panel at once.
const PanelTokens = 4

// Kernel is one form of the functions. All forms give the same bits.
type Kernel struct {
	Name string

	// one multiplies panels that lie one after the other with one token: w has
	// panels·chunks·128 elements, a has chunks·16, out gets panels·8 sums.
	one func(out []int32, w []int8, a []int16, chunks, panels int)
	// four multiplies one panel with four tokens, stride elements apart; out gets the
	// 8 sums of the first token, then those of the second, and so on.
	four func(out []int32, w []int8, a []int16, chunks, stride int)
	// keys multiplies a query with a page of keys: out gets 32 products.
	keys func(out []int32, q, k []int16, chunks int)
	// values adds to each column the sum over a page of weight·value.
	values func(total []int64, w, v []int16, chunks int)
}

// Keys multiplies a query with every key of a page. len(q) is the head's padded length.
func (k *Kernel) Keys(out []int32, q, page []int16) {
	k.keys(out[:Page], q, page[:Page*len(q)], len(q)/Chunk)
}

// Values adds to total[j] the sum over a page of w[t]·value[t][j]. A sum of 32 products
// of 15 and 11 bits is 32·32767·2047 < 2^31.
func (k *Kernel) Values(total []int64, w, page []int16) {
	k.values(total, w[:Page], page[:Page*len(total)], len(total)/Chunk)
}

// Portable is plain Go.
func Portable() *Kernel {
	return &Kernel{Name: "portable", one: onePortable, four: fourPortable, keys: keysPortable, values: valuesPortable}
}

// Best is the fastest form that this machine has.
func Best() *Kernel {
	forms := Forms()
	return forms[len(forms)-1]
}

// Padded rounds a number of columns up to whole chunks.
func Padded(columns int) int { return (columns + Chunk - 1) / Chunk * Chunk }

// ValueIndex is where column j of position t lies in a page of values with padded length
// head.
func ValueIndex(t, j, head int) int { return (t/2*head+j)*2 + t%2 }
