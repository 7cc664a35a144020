package keystore_test

import (
	"context"
	"fmt"
	"os"

	"mcpauth/pkg/keystore"
)

// A record has a secret part and a public part. The public part can be listed without opening a keychain.
func ExampleStore_Put() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := keystore.Open(keystore.Options{Backend: keystore.File, StateDir: dir + "/state", Dir: dir + "/keys"})
	if err != nil {
		fmt.Println(err)
		return
	}
	key := keystore.Key{Server: "https://mcp.example.com/mcp"}
	unlock, err := store.Lock(ctx, key, "credential")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unlock()
	if _, err := store.Put(ctx, key, keystore.Record{Secret: []byte("token"), Public: []byte(`{"state":"valid"}`)}); err != nil {
		fmt.Println(err)
		return
	}
	list, err := store.List(ctx)
	fmt.Println(len(list), string(list[0].Public), err)
	record, err := store.Get(ctx, key)
	fmt.Println(record.Generation, string(record.Secret), err)
	// Output:
	// 1 {"state":"valid"} <nil>
	// 1 token <nil>
}
