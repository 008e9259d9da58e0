package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// generators are the code generators that every file goes through, with the
// options that the Cosmos SDK gives them.
var generators = []struct{ tool, parameter string }{
	{
		"github.com/cosmos/gogoproto/protoc-gen-gocosmos",
		"plugins=grpc,Mgoogle/protobuf/any.proto=github.com/cosmos/gogoproto/types/any",
	},
	{
		"github.com/grpc-ecosystem/grpc-gateway/protoc-gen-grpc-gateway",
		"logtostderr=true,allow_colon_final_segments=true",
	},
}

// generator is one built code generator: an executable that speaks protoc's
// plugin protocol on its standard input and output.
type generator struct {
	name, path, parameter string
}

// buildGenerators builds the generators into a temporary directory, which
// cleanup removes.
func buildGenerators() (gens []generator, cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "protogen-")
	if err != nil {
		return nil, nil, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	for _, g := range generators {
		name := g.tool[strings.LastIndexByte(g.tool, '/')+1:]
		path := filepath.Join(dir, name)
		if runtime.GOOS == "windows" {
			path += ".exe"
		}
		if _, err := goCommand("build", "-o", path, g.tool); err != nil {
			cleanup()
			return nil, nil, fmt.Errorf("build %s: %w", name, err)
		}
		gens = append(gens, generator{name, path, g.parameter})
	}
	return gens, cleanup, nil
}

// run generates the named files of set and returns what it made by name,
// which is the go_package with the file's name at its end.
func (g generator) run(ctx context.Context, set *descriptors, names []string) (map[string][]byte, error) {
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String(g.parameter),
		ProtoFile:      set.all,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: write the request: %w", g.name, err)
	}
	cmd := exec.CommandContext(ctx, g.path)
	cmd.Stdin = bytes.NewReader(request)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s on %s: %w: %s", g.name, strings.Join(names, " "), err, strings.TrimSpace(stderr.String()))
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(stdout.Bytes(), &response); err != nil {
		return nil, fmt.Errorf("%s: read the response: %w", g.name, err)
	}
	if response.GetError() != "" {
		return nil, fmt.Errorf("%s on %s: %w", g.name, strings.Join(names, " "), errors.New(response.GetError()))
	}
	made := make(map[string][]byte, len(response.File))
	for _, f := range response.File {
		made[f.GetName()] = []byte(f.GetContent())
	}
	return made, nil
}
