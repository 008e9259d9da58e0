package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// module makes a module with one .proto file and generates its code in it.
func module(t *testing.T, proto string) string {
	t.Helper()
	_, root, err := mainModule()
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o644))
	}
	path := filepath.Join(dir, protoRoot, "box", "v1", "box.proto")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(proto), 0o644))
	t.Chdir(dir)
	return dir
}

const box = `syntax = "proto3";
package box.v1;
import "cosmos/base/v1beta1/coin.proto";
import "gogoproto/gogo.proto";
import "google/api/annotations.proto";
option go_package = "github.com/cantus-network/cantus/box/types";
// Box holds coins.
message Box { cosmos.base.v1beta1.Coin coin = 1 [(gogoproto.nullable) = false]; }
message BoxRequest { string name = 1; }
service Query { rpc Get(BoxRequest) returns (Box) { option (google.api.http).get = "/box/v1/{name}"; } }
`

func TestGenerate(t *testing.T) {
	dir := module(t, box)
	ctx := context.Background()
	require.ErrorContains(t, run(ctx, true), "box.pb.go (missing)")
	require.NoError(t, run(ctx, false))
	require.NoError(t, run(ctx, true))
	out := filepath.Join(dir, "box", "types", "box.pb.go")
	code, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(code), "// Box holds coins.")
	require.FileExists(t, filepath.Join(dir, "box", "types", "box.pb.gw.go"))

	require.NoError(t, os.WriteFile(out, append(code, "// edited\n"...), 0o644))
	require.ErrorContains(t, run(ctx, true), "box.pb.go (differs)")
	require.NoError(t, run(ctx, false))
	again, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, code, again, "twice the same")

	// What a renamed file leaves behind goes.
	old := filepath.Join(dir, "box", "types", "old.pb.go")
	require.NoError(t, os.WriteFile(old, code, 0o644))
	require.ErrorContains(t, run(ctx, true), "old.pb.go (stale)")
	require.NoError(t, run(ctx, false))
	require.NoFileExists(t, old)
}

func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ proto, want string }{
		"syntax":          {"syntax = ", "box.proto"},
		"unknown import":  {"syntax = \"proto3\";\nimport \"none.proto\";", "none.proto"},
		"foreign package": {"syntax = \"proto3\";\npackage x;\noption go_package = \"example.org/x\";\nmessage M {}", "outside the module"},
	} {
		t.Run(name, func(t *testing.T) {
			module(t, c.proto)
			require.ErrorContains(t, run(context.Background(), false), c.want)
		})
	}
}
