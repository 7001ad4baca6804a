// Reads messages with the CloudEvents SDK for JavaScript, and looks at signatures with the verifier of
// Standard Webhooks. Messages come on standard input as JSON, what they say goes to standard output.
"use strict";
const { HTTP, Kafka, CloudEvent } = require("cloudevents");
const { Webhook } = require("standardwebhooks");

const attributes = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

function tell(event) {
  if (!(event instanceof CloudEvent)) throw new Error("it is no event");
  event.validate();
  const told = { attributes: {}, extensions: {} };
  for (const [name, value] of Object.entries(event.toJSON())) {
    if (name === "data" || name === "data_base64") continue;
    (attributes.includes(name) ? told.attributes : told.extensions)[name] = value;
  }
  const data = event.data;
  if (ArrayBuffer.isView(data)) told.bytes = Buffer.from(data).toString("base64");
  else told.json = data;
  return told;
}

// outcome is what a verifier says: "valid", or its error.
function outcome(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return "valid";
  } catch (error) {
    return error.message;
  }
}

function read(message) {
  const body = Buffer.from(message.body, "base64");
  const text = !message.binary;
  const content = text ? body.toString() : body;
  const said = { verdicts: (message.secrets || []).map((secret) => outcome(secret, content, message.headers)) };
  try {
    const found = message.protocol === "kafka"
      ? Kafka.toEvent({ headers: message.headers, key: message.key, value: content, body: content })
      : HTTP.toEvent({ headers: message.headers, body: content });
    said.events = (Array.isArray(found) ? found : [found]).map(tell);
  } catch (error) {
    said.error = String(error);
  }
  return said;
}

process.stdout.write(JSON.stringify(JSON.parse(require("fs").readFileSync(0, "utf8")).map(read)));
