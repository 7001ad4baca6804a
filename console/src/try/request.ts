import type { Detail } from '../api'

export type Protocol = 'rest' | 'connect' | 'grpc-web' | 'sse' | 'websocket'
export const names: Record<Protocol, string> = { rest: 'REST', connect: 'Connect', 'grpc-web': 'gRPC-Web', sse: 'SSE', websocket: 'WebSocket' }

export interface Field {
  name: string; proto?: string; type: string; kind: 'scalar' | 'enum' | 'message'; key?: string; repeated?: boolean
  oneof?: string; enum?: string[]; comment?: string; rules?: string[]; sensitive?: boolean
}
export type Fields = Record<string, Field[]>
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
export type Message = { [name: string]: Json }

/** Where clients reach the gateway. */
export interface Public { available: boolean; why?: string; scheme?: string; host?: string; port?: string }

/** What somebody has filled in. */
export interface Wanted { protocol: Protocol; path: string; method: string; message: string; headers: string; timeout: string }

/** What is sent to be tried, and what commands are made of. */
export interface Request { method: string; url: string; headers: string[]; body?: Sent }
export interface Sent { text?: string; base64?: string }

export const clientStreams = (d: Detail) => d.stream === 'client_streaming' || d.stream === 'bidi_streaming'
export const serverStreams = (d: Detail) => d.stream === 'server_streaming' || d.stream === 'bidi_streaming'
export const rpcPath = (d: Detail) => '/' + d.rpc

export function protocolsOf(d: Detail): Protocol[] {
  if (!d.request) return ['rest']
  return ['rest', 'connect', 'grpc-web', ...serverStreams(d) && !clientStreams(d) ? ['sse' as const] : [], 'websocket']
}

export const linesOf = (text: string) => text.split('\n').map(l => l.trim()).filter(Boolean)

/** The field at a path of proto names, as in a template, by its names in JSON. */
function jsonPath(path: string, type: string, fields: Fields): string[] {
  return path.split('.').map(part => {
    const f = fields[type]?.find(f => (f.proto ?? f.name) === part || f.name === part)
    type = f?.type ?? ''
    return f?.name ?? part
  })
}

const variable = /\{([^=}]+)(?:=([^}]*))?\}/g

/** A message to begin with: what the path needs. */
export function begun(d: Detail, fields: Fields): Message {
  const message: Message = {}
  for (const [, name, pattern] of d.path.matchAll(variable)) {
    let at = message
    const path = jsonPath(name, d.request!, fields)
    for (const part of path.slice(0, -1)) at = (at[part] ??= {}) as Message
    at[path.at(-1)!] = (pattern ?? '*').replaceAll(/\*\*?/g, '1')
  }
  return message
}

function take(message: Message, path: string[]): Json | undefined {
  const [first, ...rest] = path
  if (!rest.length) {
    const value = message[first]
    delete message[first]
    return value
  }
  const inner = message[first]
  if (!inner || typeof inner !== 'object' || Array.isArray(inner)) return undefined
  const value = take(inner, rest)
  if (!Object.keys(inner).length) delete message[first]
  return value
}

const wholes = /^google\.protobuf\.(Struct|Value|ListValue|Any)$/

/** Adds the parameters of a query that set a value. */
function parameters(to: [string, string][], name: string, value: Json, field: Field | undefined, fields: Fields) {
  if (value === null || value === undefined) return
  if (typeof value !== 'object') to.push([name, String(value)])
  else if (Array.isArray(value)) {
    if (value.every(v => typeof v !== 'object')) for (const v of value) to.push([name, String(v)])
    else to.push([name, JSON.stringify(value)])
  } else if (field?.key) for (const [key, v] of Object.entries(value)) {
    if (typeof v === 'object') return void to.push([name, JSON.stringify(value)])
    to.push([`${name}[${key}]`, String(v)])
  }
  else if (!field || wholes.test(field.type)) to.push([name, JSON.stringify(value)])
  else for (const [key, v] of Object.entries(value)) parameters(to, name + '.' + key, v, fields[field.type]?.find(f => f.name === key), fields)
}

const isRaw = (d: Detail, fields: Fields) =>
  d.body === '*' ? d.request === 'google.api.HttpBody' : !!d.body && fields[d.request!]?.find(f => f.name === d.body)?.type === 'google.api.HttpBody'

/** The body that is left of a message when the path has its share. */
function bodyOf(d: Detail, rest: Message, fields: Fields): { body?: Sent; type?: string } {
  if (!d.body) return {}
  const value = d.body === '*' ? rest : rest[d.body]
  if (d.body !== '*') delete rest[d.body]
  if (isRaw(d, fields)) {
    const raw = (value ?? {}) as Message
    return { body: { base64: String(raw.data ?? '') }, type: String(raw.contentType ?? 'application/octet-stream') }
  }
  return value === undefined ? {} : { body: { text: JSON.stringify(value) } }
}

/** A message by the route's own path, query and body. An error says what is missing. */
function byRule(d: Detail, message: Message, fields: Fields): Request {
  const rest: Message = structuredClone(message)
  const path = d.path.replace(variable, (_, name: string, pattern = '*') => {
    const value = take(rest, jsonPath(name, d.request!, fields))
    if (value === undefined || value === '') throw new Error(`${name} is empty, and the path needs it`)
    return pattern === '*' ? encodeURIComponent(String(value)) : String(value).split('/').map(encodeURIComponent).join('/')
  }).replace(/\/\*\*?(?=\/|$)/g, '/1')
  const { body, type } = bodyOf(d, rest, fields)
  const query: [string, string][] = []
  if (d.body !== '*') for (const [name, value] of Object.entries(rest)) parameters(query, name, value, fields[d.request!]?.find(f => f.name === name), fields)
  const text = query.map(([n, v]) => encodeURIComponent(n).replace(/%5B/g, '[').replace(/%5D/g, ']') + '=' + encodeURIComponent(v)).join('&')
  return { method: d.method === '*' ? 'POST' : d.method, url: path + (text && '?' + text), headers: type ? ['Content-Type: ' + type] : [], body }
}

export function parsed(text: string): Message {
  const value: Json = text.trim() ? JSON.parse(text) : {}
  if (!value || typeof value !== 'object' || Array.isArray(value)) throw new Error('expected a message: { … }')
  return value
}

/** What a message is to its protocol, behind the first of a stream. */
export function framed(d: Detail, w: Wanted, fields: Fields): Sent {
  if (!d.request) return { text: w.message }
  const message = parsed(w.message)
  if (w.protocol === 'connect' || w.protocol === 'grpc-web' || atRPC(d, w.protocol)) return { text: JSON.stringify(message) }
  if (!d.body && clientStreams(d)) return { text: JSON.stringify(message) }
  for (const [, name] of d.path.matchAll(variable)) take(message, jsonPath(name, d.request, fields))
  return bodyOf(d, message, fields).body ?? { text: '{}' }
}

/** Whether the path of the RPC is called, not the route's own: WebSockets open at paths of streams, unless GET leads elsewhere there. */
const atRPC = (d: Detail, p: Protocol) => p === 'websocket' && !d.socket

export function requestOf(d: Detail, w: Wanted, fields: Fields): Request {
  const headers = linesOf(w.headers)
  if (!d.request) return { method: w.method, url: w.path, headers, body: w.message ? { text: w.message } : undefined }
  const message = parsed(w.message)
  if (w.protocol === 'connect' || w.protocol === 'grpc-web' || atRPC(d, w.protocol))
    return { method: 'POST', url: rpcPath(d), headers, body: { text: JSON.stringify(message) } }
  const r = byRule(d, message, fields)
  if (clientStreams(d) && !d.body) r.body = { text: JSON.stringify(message) }
  const has = (line: string) => headers.some(h => h.toLowerCase().startsWith(line.split(':')[0].toLowerCase() + ':'))
  return { ...r, headers: [...r.headers.filter(h => !has(h)), ...headers] }
}

/** Fields that their schemas mark sensitive, by name. */
const marked = new Set<string>()

export function mark(fields: Fields) {
  for (const list of Object.values(fields)) for (const f of list) if (f.sensitive) marked.add(f.name).add(f.proto ?? f.name)
}

/** Names of headers and fields that may hold secrets. */
export const isSecret = (name: string) => marked.has(name) || /auth|cookie|token|secret|passw|pwd|api-?_?key|private|credential|session|signature|\bpin\b/i.test(name)

/** Headers without those that may be secrets, or with masks for them. */
export const publicHeaders = (lines: string, mask = false) => linesOf(lines).flatMap(l => {
  const name = l.split(':')[0]
  return !isSecret(name) ? [l] : mask ? [name + ': …'] : []
}).join('\n')

/** The same for a message. What is no JSON may hold anything. */
export function publicMessage(text: string): string {
  const clean = (v: Json): Json => Array.isArray(v) ? v.map(clean) : v && typeof v === 'object'
    ? Object.fromEntries(Object.entries(v).filter(([k]) => !isSecret(k)).map(([k, x]) => [k, clean(x)])) : v
  try { return JSON.stringify(clean(JSON.parse(text))) } catch { return '' }
}

export const publicPath = (path: string) => path.replace(/([?&])([^=&]*)=[^&]*/g, (all, sign, name) => isSecret(name) ? sign + name + '=' : all)

export function baseOf(p: Public): { url: string; host: string; tls: boolean } {
  const name = p.host || location.hostname
  const host = (name.includes(':') && !name.startsWith('[') ? `[${name}]` : name) + (p.port ? ':' + p.port : '')
  return { url: `${p.scheme ?? 'http'}://${host}`, host, tls: p.scheme === 'https' }
}
