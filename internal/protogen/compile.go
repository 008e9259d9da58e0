package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// importRoots are the module-cache directories that imports are looked up in,
// in order: a module's path and the directory in it that import paths start
// from. google/protobuf/*.proto is built into the compiler.
var importRoots = []struct{ module, dir string }{
	{"github.com/cosmos/cosmos-sdk", "proto"},
	{"github.com/cosmos/cosmos-proto", "proto"},
	{"github.com/cosmos/gogoproto", ""},
	{"github.com/grpc-ecosystem/grpc-gateway", "third_party/googleapis"},
}

// descriptors is a compiled set of files: ours and everything they import,
// each after what it imports, as a code generator wants them.
type descriptors struct {
	all  []*descriptorpb.FileDescriptorProto
	ours []*descriptorpb.FileDescriptorProto
}

// compile compiles the named files of the module at root.
func compile(ctx context.Context, root string, names []string) (*descriptors, error) {
	paths := []string{filepath.Join(root, protoRoot)}
	for _, r := range importRoots {
		dir, err := goCommand("list", "-m", "-f", "{{.Dir}}", r.module)
		if err != nil {
			return nil, fmt.Errorf("find the imports of %s: %w", r.module, err)
		}
		if dir = strings.TrimSpace(dir); dir == "" {
			return nil, fmt.Errorf("find the imports of %s: not in the module cache; run `go mod download`", r.module)
		}
		paths = append(paths, filepath.Join(dir, filepath.FromSlash(r.dir)))
	}
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: paths}),
		SourceInfoMode: protocompile.SourceInfoStandard, // the comments become Go doc comments
	}
	files, err := c.Compile(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	set := &descriptors{}
	seen := map[string]bool{}
	for _, f := range files {
		set.add(f, seen)
		set.ours = append(set.ours, protoutil.ProtoFromFileDescriptor(f))
	}
	return set, nil
}

// add appends f after everything that it imports.
func (d *descriptors) add(f protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	imports := f.Imports()
	for i := range imports.Len() {
		d.add(imports.Get(i).FileDescriptor, seen)
	}
	d.all = append(d.all, protoutil.ProtoFromFileDescriptor(f))
}

// goPackage is one Go package and the .proto files that make it up.
type goPackage struct {
	path  string
	files []string
}

// goPackages groups our files by go_package, sorted: a generator is run once
// for each, because protoc-gen-gocosmos takes one Go package at a time.
func (d *descriptors) goPackages() []goPackage {
	by := map[string][]string{}
	for _, f := range d.ours {
		path, _, _ := strings.Cut(f.GetOptions().GetGoPackage(), ";")
		by[path] = append(by[path], f.GetName())
	}
	pkgs := make([]goPackage, 0, len(by))
	for path, files := range by {
		pkgs = append(pkgs, goPackage{path, files})
	}
	sort.Slice(pkgs, func(i, j int) bool { return pkgs[i].path < pkgs[j].path })
	return pkgs
}
