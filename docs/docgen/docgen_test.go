package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree writes files under a new directory.
func tree(t *testing.T, files map[string]string) string {
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return root
}

const types = `syntax = "proto3";
package x.v1;
// Params are rules.
message Params {
  // How long to
  // wait.
  int64 wait = 1;
  uint32 fee_bps = 2; // a | share
}
enum State {
  STATE_UNSPECIFIED = 0;
  STATE_ON = 1; // it runs
}
`

const service = `syntax = "proto3";
package x.v1;
service Query {
  // Thing finds a thing.
  rpc Thing(QueryThingRequest) returns (QueryThingResponse) {
    option (google.api.http).get = "/x/v1/things/{id}";
  }
}
message QueryThingRequest { string id = 1 [(cosmos_proto.scalar) = "cosmos.AddressString"]; }
message QueryThingResponse { repeated uint64 sizes = 1; }
`

func TestParametersCarryTheSourcesDefaults(t *testing.T) {
	root := tree(t, map[string]string{
		"proto/cantus/work/v1/types.proto":      types,
		"proto/cantus/lineage/v1/lineage.proto": types,
		"proto/cantus/requests/v1/types.proto":  types,
		"ledger/x/work/types/params.go":         "package types\n\nfunc DefaultParams() Params {\n\treturn Params{\n\t\tWait: 10 * 60, // ten minutes\n\t}\n}\n\nfunc DevnetParams() Params {\n\tp := DefaultParams()\n\tp.Wait = 5\n\treturn p\n}\n",
		"ledger/x/lineage/types/params.go":      "package types\n\nfunc DefaultParams() Params { return Params{Wait: 7} }\n",
		"ledger/x/requests/types/params.go":     "package types\n\nfunc DefaultParams() Params { return Params{Wait: 9} }\n",
	})
	page, err := parameters(root)
	require.NoError(t, err)
	require.Contains(t, string(page), "| `wait` | `10 * 60` | `5` | How long to wait. |\n")
	require.Contains(t, string(page), "| `wait` | `7` |  | How long to wait. |\n")
	require.Contains(t, string(page), "| `wait` | `9` |  | How long to wait. |\n")
	require.Contains(t, string(page), "| `fee_bps` | zero |  | a \\| share |\n")
}

func TestParametersWithoutDefaultsAreAnError(t *testing.T) {
	root := tree(t, map[string]string{
		"proto/cantus/work/v1/types.proto": types,
		"ledger/x/work/types/params.go":    "package types\n",
	})
	_, err := parameters(root)
	require.ErrorIs(t, err, errNoFunction)
}

func TestQueriesAndEnums(t *testing.T) {
	root := tree(t, map[string]string{
		"proto/cantus/work/v1/query.proto": service,
		"proto/cantus/work/v1/types.proto": types,
	})
	page, err := workQueries(root)
	require.NoError(t, err)
	for _, want := range []string{
		"## Thing\n\nThing finds a thing.\n",
		"gRPC `x.v1.Query/Thing`, REST `GET /x/v1/things/{id}`.",
		"| `id` | address |  |",
		"| `sizes` | list of uint64 |  |",
	} {
		require.Contains(t, string(page), want)
	}
	page, err = workTypes(root)
	require.NoError(t, err)
	require.Contains(t, string(page), "| 1 | `STATE_ON` | it runs |")
	require.NotContains(t, string(page), "Params", "they have a page of their own")
}

func TestGlossaryAndPackages(t *testing.T) {
	root := tree(t, map[string]string{
		"work/doc.go":      "// Package work has words.\n//\n// # Glossary\n//\n//\tanote     the smallest part\n//\tgateway   leases <tasks>\npackage work\n",
		"work/none/a.go":   "package none\n",
		"work/doc_test.go": "// Package work of a test.\npackage work\n",
	})
	page, err := glossary(root)
	require.NoError(t, err)
	require.Contains(t, string(page), "| **anote** | the smallest part |\n| **gateway** | leases &lt;tasks> |\n")
	page, err = packages(root)
	require.NoError(t, err)
	require.Contains(t, string(page), "## work\n\nPackage work has words.")
	require.NotContains(t, string(page), "none")
	require.Equal(t, 1, strings.Count(string(page), "\n## "))
}
