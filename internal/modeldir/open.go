package modeldir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

// Head is what whoever talks to a model needs of it: its shape, its tokenizer and its chat
// template. It has no weights.
type Head struct {
	Entry
	Tokenizer *tokenizer.Tokenizer
	Template  string
}

// Progress tells how far something is that takes long. Total is 0 where nobody knows yet.
type Progress struct {
	Stage       string // importing, checking, pulling
	Done, Total int64  // bytes
}

// head is what the beginning of a file says, and where its tokenizer lies.
type head struct {
	modelfile.Head
	at int64
}

// readHead reads the beginning of a file of size bytes, which must be as long as its
// configuration says.
func readHead(r io.ReaderAt, size int64) (*head, error) {
	b := make([]byte, min(size, modelfile.Align(int64(modelfile.HeadBytes))+modelfile.MaxConfig))
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: read its beginning: %w", ErrDamaged, err)
	}
	return parseHead(b, size)
}

// parseHead takes the first bytes of a file, as many as a head has at most. A size below 0
// stands for one that is not known.
func parseHead(b []byte, size int64) (*head, error) {
	h, err := modelfile.DecodeHead(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	l, err := h.Layout()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if size >= 0 && l.Size() != size {
		return nil, fmt.Errorf("%w: it has %d bytes, and its configuration makes %d", ErrDamaged, size, l.Size())
	}
	config, _, err := modelfile.Lengths(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &head{*h, modelfile.Align(modelfile.Align(int64(modelfile.HeadBytes)) + config)}, nil
}

// size is how long the file is, as the head says.
func (h *head) size() int64 {
	l, err := h.Layout()
	if err != nil {
		return 0 // parseHead asked before
	}
	return l.Size()
}

// tokenizer reads it from the file.
func (h *head) tokenizer(r io.ReaderAt) (*tokenizer.Tokenizer, error) {
	b := make([]byte, h.Tokenizer)
	if _, err := r.ReadAt(b, h.at); err != nil {
		return nil, fmt.Errorf("%w: read its tokenizer: %w", ErrDamaged, err)
	}
	t, err := tokenizer.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if n := len(t.Vocabulary().Tokens); n != h.Config.Vocab {
		return nil, fmt.Errorf("%w: its tokenizer has %d tokens, its matrices are for %d", ErrDamaged, n, h.Config.Vocab)
	}
	return t, nil
}

// parameters counts the weights that were trained.
func parameters(c *modelfile.Config) int64 {
	var n int64
	for _, s := range modelfile.Slots(c) {
		if s.Rows > 0 {
			n += int64(s.Rows) * int64(s.Cols)
		} else {
			n += int64(s.Cols)
		}
	}
	return n
}

// Open reads all of a model but its weights. It does not check the root: the file was
// checked when it came, and Load and Verify check it again.
func (d *Dir) Open(ref string) (*Head, error) {
	f, e, err := d.File(ref)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := readHead(f, e.Bytes)
	if err != nil {
		return nil, d.bad(e, err)
	}
	t, err := h.tokenizer(f)
	if err != nil {
		return nil, d.bad(e, err)
	}
	return &Head{Entry: e, Tokenizer: t, Template: t.Vocabulary().Template}, nil
}

// File opens a model's file for whoever shows pieces of it. The caller closes it.
func (d *Dir) File(ref string) (*os.File, Entry, error) {
	e, err := d.Find(ref)
	if err != nil {
		return nil, e, err
	}
	f, err := os.Open(d.file(e.Root, fileSuffix))
	if err != nil {
		return nil, e, fmt.Errorf("open model %s: %w", e.Name, err)
	}
	return f, e, nil
}

// bad says which model it is and what to do.
func (d *Dir) bad(e Entry, err error) error {
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("model %s (%s): %w; remove it, and import or pull it again", e.Name, d.file(e.Root, fileSuffix), err)
	}
	return fmt.Errorf("model %s: %w", e.Name, err)
}

// Load reads a whole model and holds it against its root. One that is larger than so many
// bytes of memory is refused, unless that is 0.
func (d *Dir) Load(ctx context.Context, ref string, memory int64) (*model.Model, error) {
	f, e, err := d.File(ref)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if memory > 0 && e.Bytes > memory {
		return nil, fmt.Errorf("model %s: %w: %d bytes of weights, %d of memory: give more, or use a smaller model", e.Name, ErrMemory, e.Bytes, memory)
	}
	m, err := model.Load(reader{ctx, f}, e.Bytes)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("load model %s: %w", e.Name, context.Cause(ctx))
	case err != nil:
		return nil, d.bad(e, fmt.Errorf("%w: %w", ErrDamaged, err))
	case m.Root != e.Root:
		return nil, d.bad(e, fmt.Errorf("%w: its root is %x now", ErrDamaged, m.Root))
	}
	return m, nil
}

// Verify computes a model's root again.
func (d *Dir) Verify(ctx context.Context, ref string, progress func(Progress)) (Entry, error) {
	f, e, err := d.File(ref)
	if err != nil {
		return e, err
	}
	defer f.Close()
	h, err := readHead(f, e.Bytes)
	if err != nil {
		return e, d.bad(e, err)
	}
	var tree modelfile.Tree
	meter := &meter{w: &tree, stage: "checking", total: e.Bytes, tell: progress}
	if _, err := io.Copy(meter, bufio.NewReaderSize(reader{ctx, f}, 1<<20)); err != nil {
		return e, fmt.Errorf("check model %s: %w", e.Name, err)
	}
	if tree.Root() != e.Root {
		return e, d.bad(e, fmt.Errorf("%w: its root is %x now", ErrDamaged, tree.Root()))
	}
	if _, err := h.tokenizer(f); err != nil {
		return e, d.bad(e, err)
	}
	return e, nil
}

// reader ends when ctx does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// meter counts what is written and tells.
type meter struct {
	w     io.Writer
	stage string
	total int64
	done  int64
	tell  func(Progress)
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.done += int64(n)
	if m.tell != nil {
		m.tell(Progress{m.stage, m.done, m.total})
	}
	return n, err
}
