"""What Schemathesis has to know of the bookstore: lines of JSON, and a stream that ends."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """One message of a stream."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.hook
def map_query(ctx, query):
    """WatchBooks has no end where no number is asked for."""
    if ctx.operation is not None and ctx.operation.path.endswith("books:watch"):
        query = dict(query or {})
        query["count"], query["interval"] = "1", "0s"
    return query
