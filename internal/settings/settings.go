// Package settings gives a command's flags their values, by one order for all programs: a
// flag on the command line wins over the environment, that over the configuration file,
// and that over the flag's default.
//
// The settings are the flags. The file is TOML; a flag's name is its key, without the
// dashes, in the table that Options.Table says. What the file says beyond that is an error:
// a misspelt setting that is passed over in silence is worse than none.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
)

// maxFile bounds the configuration file.
const maxFile = 1 << 20

// Options say where else than on the command line a flag's value may be.
type Options struct {
	// Env names a flag's environment variable, "" for none.
	Env func(flag string) string
	// File is the configuration file; "" for none. One that is Optional may be missing.
	File     string
	Optional bool
	// Table names the table that a flag's key is in, "" for the top of the file; nil for
	// the top. Tables of other commands, named in Others, are left alone.
	Table  func(flag string) string
	Others []string
	// Not are flags that the file can't set.
	Not []string
}

// Setting is a flag's value and where it comes from.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"` // the flag, the variable, the file, or "default"
}

// Default is where a value comes from that nobody set.
const Default = "default"

// Apply sets the flags that the command line left alone, and returns all of them, sorted.
func Apply(flags *pflag.FlagSet, o Options) ([]Setting, error) {
	file, err := o.read(flags)
	if err != nil {
		return nil, err
	}
	var all []Setting
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Name == "help" {
			return
		}
		s := Setting{Name: f.Name, From: Default}
		variable := ""
		if o.Env != nil {
			variable = o.Env(f.Name)
		}
		value, listed := file[f.Name]
		switch fromEnv := os.Getenv(variable); {
		case f.Changed:
			s.From = "--" + f.Name
		case variable != "" && fromEnv != "":
			s.From = "$" + variable
			if serr := flags.Set(f.Name, fromEnv); serr != nil {
				err = fmt.Errorf("%s: %w", variable, serr)
			}
		case listed:
			s.From = o.File
			if serr := set(flags, f, value); serr != nil {
				err = fmt.Errorf("configuration %s: %s: %w", o.File, f.Name, serr)
			}
		}
		s.Value = f.Value.String()
		all = append(all, s)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// read parses the file and checks that every key in it is a flag's.
func (o Options) read(flags *pflag.FlagSet) (map[string]any, error) {
	if o.File == "" {
		return nil, nil
	}
	f, err := os.Open(o.File)
	if o.Optional && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("read the configuration %s: it is longer than %d bytes", o.File, maxFile)
	}
	var top map[string]any
	if err := toml.Unmarshal(b, &top); err != nil {
		return nil, fmt.Errorf("read the configuration %s: %w", o.File, err)
	}
	return o.pick(flags, top)
}

// pick takes what is this command's.
func (o Options) pick(flags *pflag.FlagSet, top map[string]any) (map[string]any, error) {
	keys := map[string][]string{} // by table
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "config" || slices.Contains(o.Not, f.Name) {
			return
		}
		t := ""
		if o.Table != nil {
			t = o.Table(f.Name)
		}
		keys[t] = append(keys[t], f.Name)
	})
	out := map[string]any{}
	take := func(table string, values map[string]any) error {
		// Sorted, so that of several mistakes the same one is named each time.
		for _, k := range sorted(values) {
			if !slices.Contains(keys[table], k) {
				return o.unknown(table, k, keys[table])
			}
			out[k] = values[k]
		}
		return nil
	}
	rest := map[string]any{}
	for _, k := range sorted(top) {
		table, isTable := top[k].(map[string]any)
		_, mine := keys[k]
		switch {
		case isTable && k != "" && mine:
			if err := take(k, table); err != nil {
				return nil, err
			}
		case isTable && slices.Contains(o.Others, k):
		case isTable:
			tables := append([]string(nil), o.Others...)
			for t := range keys { // order-free: sorted by nearest
				if t != "" {
					tables = append(tables, t)
				}
			}
			return nil, fmt.Errorf("configuration %s: there is no table [%s]%s", o.File, k, nearest(k, tables))
		default:
			rest[k] = top[k]
		}
	}
	if err := take("", rest); err != nil {
		return nil, err
	}
	return out, nil
}

func (o Options) unknown(table, key string, known []string) error {
	at := ""
	if table != "" {
		at = " in [" + table + "]"
	}
	return fmt.Errorf("configuration %s: there is no setting %q%s: the settings are the flags that --help lists, without the dashes%s", o.File, key, at, nearest(key, known))
}

func sorted(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m { // order-free: sorted below
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// set gives a flag a value of the file's.
func set(flags *pflag.FlagSet, f *pflag.Flag, value any) error {
	text := func(v any) (string, error) {
		switch v.(type) {
		case string, bool, int64, float64:
			return fmt.Sprint(v), nil
		}
		return "", fmt.Errorf("want a text, a number or true or false")
	}
	list, isList := value.([]any)
	if !isList {
		v, err := text(value)
		if err != nil {
			return err
		}
		return flags.Set(f.Name, v)
	}
	many, ok := f.Value.(pflag.SliceValue)
	if !ok {
		return errors.New("want one value, not a list")
	}
	values := make([]string, 0, len(list))
	for _, e := range list {
		v, err := text(e)
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	if err := many.Replace(values); err != nil {
		return err
	}
	f.Changed = true
	return nil
}

// nearest names what was probably meant.
func nearest(word string, known []string) string {
	best, least := "", max(3, len(word)/3)+1
	slices.Sort(known)
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is how many letters must be put in, left out or changed (Levenshtein, 1965).
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			before, row[j] = row[j], min(row[j]+1, row[j-1]+1, before+cost)
		}
	}
	return row[len(b)]
}
