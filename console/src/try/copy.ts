import type { Detail } from '../api'
import { quoted } from '../format'
import { baseOf, clientStreams, Fields, framed, linesOf, parsed, Protocol, Public, Request, requestOf, rpcPath, serverStreams, Wanted } from './request'

/** What a call is copied of. Messages are those of a client that streams, whole, in JSON. */
interface Copied { d: Detail; w: Wanted; fields: Fields; at: ReturnType<typeof baseOf>; messages: string[] }

const seconds = (timeout: string) => {
  const [, n, unit] = /^([\d.]+)(ms|s|m)$/.exec(timeout.trim()) ?? []
  return n ? Number(n) * (unit === 'ms' ? 0.001 : unit === 'm' ? 60 : 1) : 0
}

/** The request by plain HTTP: a stream by Connect, gRPC-Web or WebSocket is the same as JSON lines. */
function plain({ d, w, fields, messages }: Copied): Request & { streams: boolean } {
  const unary = d.stream === 'unary'
  const atRPC = d.request && (clientStreams(d) ? !d.body : unary && w.protocol !== 'rest')
  const protocol = atRPC ? 'connect' : w.protocol === 'sse' ? 'sse' : 'rest'
  const r = requestOf(d, { ...w, protocol }, fields)
  if (clientStreams(d) && d.request && !r.body?.base64) r.body = { text: messages.map(message => framed(d, { ...w, protocol, message }, fields).text).join(' ') }
  const headers = [...r.headers]
  if (w.protocol === 'connect' && unary) headers.push('Connect-Protocol-Version: 1')
  if (w.protocol === 'sse') headers.push('Accept: text/event-stream')
  if (seconds(w.timeout)) headers.push('X-Request-Timeout: ' + seconds(w.timeout))
  return { ...r, headers, streams: serverStreams(d) || clientStreams(d) }
}

function curl(c: Copied): string {
  const r = plain(c)
  const parts = ['curl', r.streams ? '-sN' : '-s']
  const type = r.headers.some(h => /^content-type:/i.test(h))
  if (r.method !== (r.body ? 'POST' : 'GET')) parts.push('-X ' + quoted(r.method))
  for (const h of r.headers) parts.push('-H ' + quoted(h))
  if (r.body?.base64 !== undefined) return `printf %s ${quoted(r.body.base64)} | base64 -d | ${parts.join(' ')} --data-binary @- ${quoted(c.at.url + r.url)}`
  if (r.body && !c.d.request) parts.push('--data-binary ' + quoted(r.body.text!))
  else if (r.body && (r.streams || type)) parts.push(...(type ? [] : ["-H 'Content-Type: application/json'"]), '--data-binary ' + quoted(r.body.text!))
  else if (r.body) parts.push('--json ' + quoted(r.body.text!))
  else if (r.method === 'POST') parts.push("-d ''")
  return [...parts, quoted(c.at.url + r.url)].join(' ')
}

const compact = (message: string) => JSON.stringify(parsed(message))
const whole = (c: Copied) => clientStreams(c.d) ? c.messages.map(compact).join(' ') : compact(c.w.message)
const sentHeaders = (c: Copied) => linesOf(c.w.headers).map(h => '-H ' + quoted(h))

function grpcurl(c: Copied): string {
  const time = seconds(c.w.timeout)
  return ['grpcurl', ...(c.at.tls ? [] : ['-plaintext']), ...sentHeaders(c), ...(time ? ['-max-time ' + time] : []), '-d ' + quoted(whole(c)), c.at.host, c.d.rpc].join(' ')
}

function buf(c: Copied): string {
  const protocol = { connect: 'connect', 'grpc-web': 'grpcweb' }[c.w.protocol as string] ?? 'grpc'
  return ['buf curl', '--protocol ' + protocol, ...(c.at.tls ? [] : ['--http2-prior-knowledge']), ...sentHeaders(c), '-d ' + quoted(whole(c)), quoted(c.at.url + rpcPath(c.d))].join(' ')
}

function transom(c: Copied): string {
  return ['transom call', c.d.rpc, '-d ' + quoted(whole(c)), ...sentHeaders(c), ...(seconds(c.w.timeout) ? ['--timeout ' + c.w.timeout.trim()] : []),
    '--upstream ' + c.at.host, ...(c.at.tls ? ['--upstream-tls'] : [])].join(' ')
}

const pairs = (lines: string[]) => Object.fromEntries(lines.map(l => [l.slice(0, l.indexOf(':')).trim(), l.slice(l.indexOf(':') + 1).trim()]))
const js = (v: unknown) => JSON.stringify(v)

function bytesOf(r: Request, lang: 'js' | 'py'): string {
  if (r.body?.base64 === undefined) return js(r.body?.text)
  return lang === 'js' ? `Uint8Array.from(atob(${js(r.body.base64)}), c => c.charCodeAt(0))` : `base64.b64decode(${js(r.body.base64)})`
}

function fetched(c: Copied): string {
  if (c.w.protocol === 'websocket') {
    const r = requestOf(c.d, c.w, c.fields)
    return `const socket = new WebSocket(${js(c.at.url.replace(/^http/, 'ws') + r.url)}, ["transom.json"])
socket.onopen = () => {
${c.d.stream === 'server_streaming' && c.d.socket ? '' : c.messages.map(message => `  socket.send(${js(framed(c.d, { ...c.w, message }, c.fields).text)})\n`).join('')}${clientStreams(c.d) ? '  socket.send("") // no more\n' : ''}}
socket.onmessage = event => console.log(JSON.parse(event.data))
socket.onclose = event => console.log(event.code, event.reason)`
  }
  const r = plain(c)
  const type = r.body && !r.headers.some(h => /^content-type:/i.test(h)) ? ['Content-Type: application/json'] : []
  return `const answer = await fetch(${js(c.at.url + r.url)}, {
  method: ${js(r.method)},
  headers: ${js(pairs([...r.headers, ...type]))},${r.body ? `\n  body: ${bytesOf(r, 'js')},` : ''}
})
${serverStreams(c.d) ? `for await (const part of answer.body.pipeThrough(new TextDecoderStream())) console.log(part)` : 'console.log(answer.status, await answer.text())'}`
}

const lower = (s: string) => s[0].toLowerCase() + s.slice(1)
const split = (c: Copied) => {
  const [service, method] = c.d.rpc!.split('/')
  return { service: service.slice(service.lastIndexOf('.') + 1), method, package: service.slice(0, service.lastIndexOf('.')) }
}

function connectES(c: Copied): string {
  const { service, method } = split(c)
  const headers = Object.keys(pairs(linesOf(c.w.headers))).length ? `, { headers: ${js(pairs(linesOf(c.w.headers)))} }` : ''
  const message = JSON.stringify(parsed(c.w.message))
  const input = clientStreams(c.d) ? `(async function* () {\n${c.messages.map(m => `  yield fromJson(${service}.method.${lower(method)}.input, ${compact(m)})\n`).join('')}})()`
    : `fromJson(${service}.method.${lower(method)}.input, ${message})`
  return `import { fromJson } from "@bufbuild/protobuf"
import { createClient } from "@connectrpc/connect"
import { createConnectTransport } from ${clientStreams(c.d) ? '"@connectrpc/connect-node"' : '"@connectrpc/connect-web"'}
import { ${service} } from "./gen/${(c.d.proto_file ?? '').replace(/\.proto$/, '')}_pb.js"

const client = createClient(${service}, createConnectTransport({ baseUrl: ${js(c.at.url)}${clientStreams(c.d) ? ', httpVersion: "2"' : ''} }))
${serverStreams(c.d) ? `for await (const answer of client.${lower(method)}(${input}${headers})) console.log(answer)` : `console.log(await client.${lower(method)}(${input}${headers}))`}`
}

function connectGo(c: Copied): string {
  const { package: p, service, method } = split(c)
  const pkg = p.split('.').slice(-2).join('')
  const type = (name = '') => pkg + '.' + name.slice(p.length + 1).replaceAll('.', '_')
  const header = linesOf(c.w.headers).map(l => { const [[k, v]] = Object.entries(pairs([l])); return `${js(k)}, ${js(v)}` })
  const set = (on: string) => header.map(h => `${on}.Set(${h})\n`).join('')
  const json = (m: string) => '[]byte(' + (m.includes('`') ? js(m) : '`' + m + '`') + ')'
  const make = (m: string) => `message := &${type(c.d.request)}{}
if err := protojson.Unmarshal(${json(m)}, message); err != nil {
	log.Fatal(err)
}
`
  const begin = `// ${pkg} is the package that protoc-gen-go makes of ${c.d.proto_file}.
client := connect.NewClient[${type(c.d.request)}, ${type(c.d.response)}](http.DefaultClient, ${js(`${c.at.url}/${p}.${service}/${method}`)})
`
  if (clientStreams(c.d)) return begin + `stream := client.${serverStreams(c.d) ? 'CallBidiStream' : 'CallClientStream'}(ctx) // both ways at once: with a client of HTTP/2
${set('stream.RequestHeader()')}${make(compact(c.messages[0]))}if err := stream.Send(message); err != nil {
	log.Fatal(err)
}
${serverStreams(c.d) ? `_ = stream.CloseRequest()
for {
	answer, err := stream.Receive()
	if err != nil {
		break // io.EOF behind the last
	}
	fmt.Println(answer)
}` : 'answer, err := stream.CloseAndReceive()\nfmt.Println(answer, err)'}`
  const request = make(compact(c.w.message)) + `request := connect.NewRequest(message)\n${set('request.Header()')}`
  return begin + request + (serverStreams(c.d) ? `stream, err := client.CallServerStream(ctx, request)
if err != nil {
	log.Fatal(err)
}
for stream.Receive() {
	fmt.Println(stream.Msg())
}
fmt.Println(stream.Err())` : 'answer, err := client.CallUnary(ctx, request)\nfmt.Println(answer, err)')
}

function httpx(c: Copied): string {
  const r = plain(c)
  const type = r.body && !r.headers.some(h => /^content-type:/i.test(h)) ? ['Content-Type: application/json'] : []
  const headers = pairs([...r.headers, ...type])
  const text = [js(r.method), js(c.at.url + r.url), ...(Object.keys(headers).length ? ['headers=' + js(headers)] : []), ...(r.body ? ['content=' + bytesOf(r, 'py') + (r.body.text !== undefined ? '.encode()' : '')] : [])].join(', ')
  const start = (r.body?.base64 !== undefined ? 'import base64\n' : '') + 'import httpx\n\n'
  return start + (serverStreams(c.d) ? `with httpx.stream(${text}, timeout=None) as answer:\n    for line in answer.iter_lines():\n        print(line)`
    : `answer = httpx.request(${text})\nprint(answer.status_code, answer.text)`)
}

/** What a tool does instead, where it does not speak a protocol. */
export function otherwise(tool: string, protocol: Protocol): string {
  if (protocol === 'websocket' && tool === 'fetch') return ''
  if (protocol === 'websocket') return `${tool} does not speak WebSocket here: it makes the same call otherwise. "fetch" has a WebSocket.`
  if (protocol === 'grpc-web' && ['curl', 'fetch', 'Python, httpx'].includes(tool)) return `${tool} does not speak gRPC-Web: it makes the same call with JSON.`
  return ''
}

const makers: [string, (c: Copied) => string, boolean][] = [
  ['curl', curl, false], ['grpcurl', grpcurl, true], ['buf curl', buf, true], ['transom call', transom, true],
  ['fetch', fetched, false], ['Connect-ES', connectES, true], ['Go, Connect', connectGo, true], ['Python, httpx', httpx, false],
]

/** The tools that a route can be called by; RPCs by all. */
export const toolsFor = (d: Detail) => makers.filter(m => !m[2] || d.request).map(m => m[0])

/** The call as a tool has it. An error says what is wrong with what is filled in. */
export function copyAs(tool: string, d: Detail, w: Wanted, fields: Fields, at: Public, messages: string[]): string {
  return makers.find(m => m[0] === tool)![1]({ d, w, fields, at: baseOf(at), messages })
}
