package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"github.com/bufbuild/protocompile/sourceinfo"
	"google.golang.org/protobuf/types/descriptorpb"
)

// protoFile is a parsed .proto file with its comments. What it imports is not looked at.
type protoFile struct {
	*descriptorpb.FileDescriptorProto
	comments map[string]string // by path in the descriptor
}

func parseProto(root, name string) (*protoFile, error) {
	f, err := os.Open(filepath.Join(root, "proto", filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	handler := reporter.NewHandler(nil)
	tree, err := parser.Parse(name, f, handler)
	if err != nil {
		return nil, err
	}
	result, err := parser.ResultFromAST(tree, true, handler)
	if err != nil {
		return nil, err
	}
	p := &protoFile{result.FileDescriptorProto(), map[string]string{}}
	for _, loc := range sourceinfo.GenerateSourceInfo(tree, nil).GetLocation() {
		text := loc.GetLeadingComments() + loc.GetTrailingComments()
		if text = strings.TrimSpace(text); text != "" {
			p.comments[fmt.Sprint(loc.GetPath())] = text
		}
	}
	return p, nil
}

// Numbers of fields in descriptor.proto, of which a comment's path is made.
const (
	inFileMessage, inFileEnum, inFileService = 4, 5, 6
	inMessageField, inEnumValue              = 2, 2
	inServiceMethod                          = 2
)

func (p *protoFile) comment(path ...int32) string { return p.comments[fmt.Sprint(path)] }

func (p *protoFile) message(name string) (int32, *descriptorpb.DescriptorProto) {
	for i, m := range p.MessageType {
		if m.GetName() == name {
			return int32(i), m
		}
	}
	return 0, nil
}

// typeOf says a field's type as people read it.
func typeOf(f *descriptorpb.FieldDescriptorProto) string {
	t := strings.TrimPrefix(f.GetTypeName(), ".")
	if t == "" {
		t = strings.ToLower(strings.TrimPrefix(f.GetType().String(), "TYPE_"))
	}
	for _, o := range f.GetOptions().GetUninterpretedOption() {
		switch string(o.GetStringValue()) {
		case "cosmos.Int":
			t = "integer, as a string"
		case "cosmos.AddressString":
			t = "address"
		}
	}
	if f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED {
		t = "list of " + t
	}
	return t
}

func (p *protoFile) writeMessage(b *bytes.Buffer, i int32, m *descriptorpb.DescriptorProto) {
	if len(m.Field) == 0 {
		return
	}
	b.WriteString("| field | type | what it is |\n|---|---|---|\n")
	for j, f := range m.Field {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.GetName(), typeOf(f), escape(p.comment(inFileMessage, i, inMessageField, int32(j))))
	}
	b.WriteString("\n")
}

func (p *protoFile) writeEnum(b *bytes.Buffer, i int32, e *descriptorpb.EnumDescriptorProto) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n| number | name | what it means |\n|---|---|---|\n", e.GetName(), p.comment(inFileEnum, i))
	for j, v := range e.Value {
		fmt.Fprintf(b, "| %d | `%s` | %s |\n", v.GetNumber(), v.GetName(), escape(p.comment(inFileEnum, i, inEnumValue, int32(j))))
	}
	b.WriteString("\n")
}

// writeTypes writes the messages that are no requests, and the enums.
func (p *protoFile) writeTypes(b *bytes.Buffer) {
	for i, m := range p.MessageType {
		name := m.GetName()
		if slices.ContainsFunc([]string{"Msg", "Query"}, func(s string) bool { return strings.HasPrefix(name, s) }) || name == "Params" || name == "GenesisState" {
			continue
		}
		fmt.Fprintf(b, "## %s\n\n%s\n\n", name, p.comment(inFileMessage, int32(i)))
		p.writeMessage(b, int32(i), m)
	}
	for i, e := range p.EnumType {
		p.writeEnum(b, int32(i), e)
	}
}

// writeTransactions writes a file's Msg service.
func (p *protoFile) writeTransactions(b *bytes.Buffer, level string) {
	for s, service := range p.Service {
		if service.GetName() != "Msg" {
			continue
		}
		for k, rpc := range service.Method {
			fmt.Fprintf(b, "%s %s\n\n", level, rpc.GetInputType())
			writeText(b, p.comment(inFileService, int32(s), inServiceMethod, int32(k)))
			i, m := p.message(rpc.GetInputType())
			if m == nil {
				continue
			}
			writeText(b, p.comment(inFileMessage, i))
			for _, o := range m.GetOptions().GetUninterpretedOption() {
				if optionName(o) == "cosmos.msg.v1.signer" {
					fmt.Fprintf(b, "Signed by `%s`.\n\n", o.GetStringValue())
				}
			}
			p.writeMessage(b, i, m)
			if i, m := p.message(rpc.GetOutputType()); m != nil && len(m.Field) > 0 {
				b.WriteString("It answers:\n\n")
				p.writeMessage(b, i, m)
			}
		}
	}
}

var getPath = regexp.MustCompile(`get\s*:\s*"([^"]+)"`)

// writeQueries writes a file's Query service.
func (p *protoFile) writeQueries(b *bytes.Buffer, level string) {
	for s, service := range p.Service {
		if service.GetName() != "Query" {
			continue
		}
		for k, rpc := range service.Method {
			fmt.Fprintf(b, "%s %s\n\n", level, rpc.GetName())
			writeText(b, p.comment(inFileService, int32(s), inServiceMethod, int32(k)))
			fmt.Fprintf(b, "gRPC `%s.Query/%s`", p.GetPackage(), rpc.GetName())
			for _, o := range rpc.GetOptions().GetUninterpretedOption() {
				if path := restPath(o); path != "" {
					fmt.Fprintf(b, ", REST `GET %s`", path)
				}
			}
			b.WriteString(".\n\n")
			for _, half := range []struct{ title, name string }{{"Asks:", rpc.GetInputType()}, {"Answers:", rpc.GetOutputType()}} {
				if i, m := p.message(half.name); m != nil && len(m.Field) > 0 {
					b.WriteString(half.title + "\n\n")
					p.writeMessage(b, i, m)
				}
			}
		}
	}
}

func restPath(o *descriptorpb.UninterpretedOption) string {
	if strings.HasPrefix(optionName(o), "google.api.http") {
		if strings.HasSuffix(optionName(o), ".get") {
			return string(o.GetStringValue())
		}
		if m := getPath.FindStringSubmatch(o.GetAggregateValue()); m != nil {
			return m[1]
		}
	}
	return ""
}

func optionName(o *descriptorpb.UninterpretedOption) string {
	var parts []string
	for _, n := range o.GetName() {
		parts = append(parts, n.GetNamePart())
	}
	return strings.Join(parts, ".")
}

func writeText(b *bytes.Buffer, text string) {
	if text != "" {
		b.WriteString(strings.Join(strings.Fields(text), " ") + "\n\n")
	}
}

func workMessages(root string) ([]byte, error) {
	p, err := parseProto(root, "cantus/work/v1/tx.proto")
	if err != nil {
		return nil, err
	}
	b := bytes.NewBufferString("# Transactions of x/work\n\nWhat can be sent to the market, from `proto/cantus/work/v1/tx.proto`. Amounts are in anote.\n\n")
	p.writeTransactions(b, "##")
	b.WriteString("## Parts of them\n\n")
	p.writeTypes(b)
	return b.Bytes(), nil
}

func workTypes(root string) ([]byte, error) {
	p, err := parseProto(root, "cantus/work/v1/types.proto")
	if err != nil {
		return nil, err
	}
	b := bytes.NewBufferString("# Records of x/work\n\nWhat the ledger keeps of the market, from `proto/cantus/work/v1/types.proto`. Amounts are in anote, heights and windows in blocks, shares in basis points.\n\n")
	p.writeTypes(b)
	return b.Bytes(), nil
}

func workQueries(root string) ([]byte, error) {
	p, err := parseProto(root, "cantus/work/v1/query.proto")
	if err != nil {
		return nil, err
	}
	b := bytes.NewBufferString("# Queries of x/work\n\nWhat can be asked about the market, from `proto/cantus/work/v1/query.proto`. Lists come in pages.\n\n")
	p.writeQueries(b, "##")
	return b.Bytes(), nil
}

func lineage(root string) ([]byte, error) {
	p, err := parseProto(root, "cantus/lineage/v1/lineage.proto")
	if err != nil {
		return nil, err
	}
	b := bytes.NewBufferString("# The module x/lineage\n\nIts records, transactions and queries, from `proto/cantus/lineage/v1/lineage.proto`.\n\n")
	p.writeTypes(b)
	p.writeTransactions(b, "##")
	p.writeQueries(b, "##")
	return b.Bytes(), nil
}

func requests(root string) ([]byte, error) {
	b := bytes.NewBufferString("# The module x/requests\n\nIts records, transactions and queries, from `proto/cantus/requests/v1`. Amounts are in anote.\nContracts reach it through a precompiled contract.\n\n")
	for _, part := range []struct {
		file  string
		write func(p *protoFile)
	}{
		{"types.proto", func(p *protoFile) { p.writeTypes(b) }},
		{"tx.proto", func(p *protoFile) { p.writeTransactions(b, "##") }},
		{"query.proto", func(p *protoFile) { p.writeQueries(b, "##") }},
	} {
		p, err := parseProto(root, "cantus/requests/v1/"+part.file)
		if err != nil {
			return nil, err
		}
		part.write(p)
	}
	return b.Bytes(), nil
}

// parameters lists the modules' parameters with their defaults.
func parameters(root string) ([]byte, error) {
	b := bytes.NewBufferString("# Parameters\n\nThe rules that governance can change, as a new network starts with them: a public one, and\nthe one-machine network of `cantus up` where that differs. The values are given as the source\nspells them; a network's own are in its genesis file and in the answer of the Params query.\n\n")
	for _, module := range []struct{ title, proto, types string }{
		{"x/work", "cantus/work/v1/types.proto", "ledger/x/work/types"},
		{"x/lineage", "cantus/lineage/v1/lineage.proto", "ledger/x/lineage/types"},
		{"x/requests", "cantus/requests/v1/types.proto", "ledger/x/requests/types"},
	} {
		p, err := parseProto(root, module.proto)
		if err != nil {
			return nil, err
		}
		i, m := p.message("Params")
		if m == nil {
			return nil, fmt.Errorf("%s has no Params", module.proto)
		}
		dir := filepath.Join(root, filepath.FromSlash(module.types))
		public, err := fieldsSetBy(dir, "DefaultParams")
		if err != nil {
			return nil, err
		}
		local, err := fieldsSetBy(dir, "DevnetParams")
		if err != nil && !errors.Is(err, errNoFunction) {
			return nil, err
		}
		fmt.Fprintf(b, "## %s\n\n", module.title)
		writeText(b, p.comment(inFileMessage, i))
		b.WriteString("| parameter | public | one machine | what it is |\n|---|---|---|---|\n")
		for j, f := range m.Field {
			name := goName(f.GetName())
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.GetName(), code(public[name], "zero"), code(local[name], ""), escape(p.comment(inFileMessage, i, inMessageField, int32(j))))
		}
		b.WriteString("\n")
	}
	return b.Bytes(), nil
}

// code is an expression as code, or what stands for none.
func code(expression, none string) string {
	if expression == "" {
		return none
	}
	return "`" + expression + "`"
}

// goName is a field's name in the generated Go code.
func goName(field string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(field, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
