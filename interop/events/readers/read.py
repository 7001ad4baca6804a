"""Reads messages with the CloudEvents SDK for Python, and looks at signatures with the verifier of
Standard Webhooks. Messages come on standard input as JSON, what they say goes to standard output."""

import base64
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks import Webhook

ATTRIBUTES = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}


def tell(event):
    told = {"attributes": {}, "extensions": {}}
    for name, value in event.get_attributes().items():
        if name == "time":
            value = value.isoformat()
        told["attributes" if name in ATTRIBUTES else "extensions"][name] = value
    data = event.get_data()
    if isinstance(data, bytes):
        told["bytes"] = base64.b64encode(data).decode()
    else:
        told["json"] = data
    return told


def outcome(secret, body, headers):
    """What a verifier says: "valid", or its error."""
    try:
        Webhook(secret).verify(body, headers)
        return "valid"
    except Exception as error:
        return str(error) or type(error).__name__


def read(message):
    body = base64.b64decode(message["body"])
    headers = message["headers"]
    said = {"verdicts": [outcome(secret, body, headers) for secret in message.get("secrets") or []]}
    try:
        if message["protocol"] == "kafka":
            key = message.get("key")
            found = [from_kafka_event(KafkaMessage({name: value.encode() for name, value in headers.items()}, key and key.encode(), body))]
        elif message.get("batch"):  # the SDK reads one event at a time
            found = [JSONFormat().read(None, json.dumps(one)) for one in json.loads(body)]
        else:
            found = [from_http_event(HTTPMessage({name.lower(): value for name, value in headers.items()}, body))]
        said["events"] = [tell(event) for event in found]
    except Exception as error:
        said["error"] = repr(error)
    return said


json.dump([read(message) for message in json.load(sys.stdin)], sys.stdout)
