// What the admin listener answers. The pages stand below /console/, wherever a proxy has put
// that, so all addresses are relative.

export interface Problem { file?: string; line?: number; column?: number; message: string }
export interface Endpoint {
  addresses: string[]; state: string; why?: string; since: string; used: boolean; zone?: string
  weight: number; priority: number; connections: number; in_flight: number; calls: number; faults: number
  ejections: number; latency_ms: number
}
export interface Upstream { name: string; target: string; state: string; why?: string; endpoints: Endpoint[] }
export interface Circuit { upstream: string; rpc: string; state: string; open_for?: string; calls: number; failures: number; in_a_row: number }
export interface Status {
  version: string; started?: string; ready: boolean; reason?: string; generation: number; config_sum?: string
  loaded_at?: string; failed_at?: string; problems: Problem[]; not_reloaded: string[]; stores: string[]
  sinks: string[]; subscriptions: string[]; upstreams: Upstream[]; circuits: Circuit[]
  maintenance: { name: string; on: boolean; services: string[] }[]
  trace_url?: string // {trace_id} stands for the id
}
export interface Point { t: number; n: number; r: number; f: number; s: number; p50: number; p99: number }
export interface RouteHistory { rpc?: string; path: string; n: number; r: number; f: number; s: number; p99: number; counts: number[] }
export interface History { step: number; all: Point[]; routes: RouteHistory[] }
export interface OfRoute { step: number; points: Point[] }
export interface Memory { bytes: number; max: number; entries: number; evicted?: number }
export interface Limit { of: string; others?: number; name: string; text: string; by: string; shared?: boolean; callers: number; spent: number; fullest: number }
export interface PolicyState {
  decisions: { policy: string; counts: Record<string, number> }[]; cache?: Memory; keys?: Memory; limits: Limit[]; limits_total: number
}
export interface Route {
  method: string; path: string; rpc?: string; request?: string; response?: string; stream?: string
  upstream?: string; policies: string[]; conditions?: string[]; answer?: string
}
export interface Effect { policy: string; summary: string; where?: string }
export interface Detail extends Route {
  where?: string; variables?: string[]; body?: string; proto_file?: string; effects: Effect[]; others?: Route[]; description?: string
  socket?: boolean // a WebSocket at its path reaches it
}
export interface Step { name: string; policy?: string; text: string; where?: string }
export interface Verdict { accepted: boolean; status?: number; steps: Step[] }
export interface Reload {
  at: string; took_ms: number; generation: number; config_sum?: string; refused: boolean; problems?: Problem[]
  added?: string[]; removed?: string[]; changed?: string[]; counts: [number, number, number]
}
export interface Who { who: string; role: 'nobody' | 'read' | 'operate'; demanded?: boolean }

/** An answer that is an error, with the text of the gateway. */
export class Refused extends Error {
  constructor(readonly status: number, message: string) { super(message) }
}

async function answered(answer: Response): Promise<Response> {
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim() || answer.statusText)
  return answer
}

/** How long the header of an answer may take, in ms: a gateway that hangs is not waited for. */
const patience = 30_000

async function ask(path: string): Promise<Response> {
  const stop = new AbortController(), late = setTimeout(() => stop.abort(), patience)
  try {
    return await answered(await fetch('../' + path, { signal: stop.signal }))
  } catch (e) {
    if (stop.signal.aborted) throw new Error(`The gateway has not answered within ${patience / 1000} s.`)
    throw e instanceof TypeError ? new Error('The gateway does not answer.') : e
  } finally { clearTimeout(late) }
}

export const get = async <T,>(path: string): Promise<T> => (await ask(path)).json()

export const getText = async (path: string) => (await ask(path)).text()

export async function post(path: string, body?: unknown, method = 'POST'): Promise<Response> {
  return answered(await fetch('../' + path, { method, body: body === undefined ? undefined : JSON.stringify(body) }))
}

/** A path that a route takes. */
export const exampleOf = (r: Route) => r.path.replace(/\{[^=}]*=([^}]*)\}/g, '$1').replace(/\{[^}]*\}|\*\*?/g, '1')

/** What tells a route apart: its method, path and conditions. */
export const ruleOf = (r: Route) => [r.method, r.path, ...(r.conditions ?? [])].join(' ')

export const placeOf = (p: Problem) => [p.file, p.line, p.column].filter(Boolean).join(':')

/** A call that has ended, with all that the access log says of it. */
export interface Call {
  time: string; method: string; path: string; route: string; status: number; code: string; duration_ms: number
  principal?: string; client_ip?: string; refused_by?: string; cache?: string
  messages?: { request?: string[]; response?: string[]; cut?: boolean }
}

/** Reads Server-Sent Events until they end. Unlike an EventSource it tells why there are none. */
export async function told(path: string, signal: AbortSignal, begun: () => void, heard: (event: string, data: string) => void) {
  const answer = await answered(await fetch('../' + path, { signal, headers: { accept: 'text/event-stream' } }))
  begun()
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  for (let rest = ''; ;) {
    const { value, done } = await reader.read()
    if (done) return
    const events = (rest + value).split('\n\n')
    rest = events.pop()!
    for (const e of events) {
      const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(e) ?? []
      if (event) heard(event, data)
    }
  }
}
