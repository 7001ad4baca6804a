package secured

import (
	"context"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// caller is who calls, as the gateway found out. No client can send these
// names: the gateway takes them away.
type caller struct {
	id, name, address string
	roles             []string
}

// callerOf reads the metadata. Without a principal the call did not come
// through the gateway, or its method is open: then it is UNAUTHENTICATED.
func callerOf(ctx context.Context) (caller, error) {
	c := caller{
		id:      told(ctx, "x-transom-principal"),
		name:    told(ctx, "x-transom-claim-name"),
		address: told(ctx, "x-desk-address"),
	}
	if c.id == "" {
		return caller{}, status.Error(codes.Unauthenticated, "the desk was not told who calls")
	}
	// The list is split first, for a comma within a role is encoded.
	if roles := first(ctx, "x-transom-roles"); roles != "" {
		for role := range strings.SplitSeq(roles, ",") {
			c.roles = append(c.roles, decoded(role))
		}
	}
	return c, nil
}

func told(ctx context.Context, name string) string { return decoded(first(ctx, name)) }

func first(ctx context.Context, name string) string {
	if values := metadata.ValueFromIncomingContext(ctx, name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// decoded undoes the gateway's percent-encoding.
func decoded(value string) string {
	if text, err := url.PathUnescape(value); err == nil {
		return text
	}
	return value
}
