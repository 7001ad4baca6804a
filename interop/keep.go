package interop

import (
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "github.com/transom-gateway/transom/proto/transom/v1"
)
