import type { TargetedKeyboardEvent } from 'preact'
import { memo } from '../memo'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Detail, exampleOf, get, post, ruleOf, Verdict } from '../api'
import { clock, duration, methodOf, plain, pretty, shape, size } from '../format'
import { address, edition, place, refine, routes, who } from '../state'
import { Card, Copy, Empty, Title, Trace, useLoad } from '../ui'
import { indexOf, opens } from '../find'
import { Asked, Event, run } from '../try/call'
import { copyAs, otherwise, toolsFor } from '../try/copy'
import { Form } from '../try/form'
import { history, keep, note } from '../try/history'
import { begun, clientStreams, Fields, framed, linesOf, mark, Message, names, parsed, Protocol, protocolsOf, Public, publicHeaders, publicMessage, publicPath, Request, requestOf, Wanted } from '../try/request'

const shown = 300 // events of a stream; those before are counted
const kept = 8 << 20 // of their texts, in characters, the last one at least
const step = 100 // how often what has come is shown, in ms

/** Whether a WebSocket at the path of a route reaches it: where another route takes GET there, that one is reached. */
async function opensAt(d: Detail): Promise<boolean> {
  if (!d.request || d.stream === 'unary') return false
  const { steps }: Verdict = await (await post('explain', { method: 'WEBSOCKET', url: exampleOf(d), headers: [], body: '' })).json()
  return steps.some(s => s.name === 'rpc' && s.text.split(' ')[0] === d.rpc)
}

/** A route to begin with. */
function Choose() {
  const [words, setWords] = useState('')
  const list = useMemo(() => routes.value ? indexOf(routes.value).find(words, -1, false).slice(0, 40) : [], [routes.value, words])
  return <>
    <Title text="Try">
      <label class="filter">Filter <input type="search" value={words} placeholder="path, RPC, upstream or policy" onInput={e => setWords(e.currentTarget.value)} onKeyDown={opens(list, 'try')} /></label>
    </Title>
    <p class="lead">A call goes through the gateway as a client's does, with every policy. Choose a route.</p>
    {list.length ? <Card title="Routes" wide><ul class="facts choices">{list.map(r => <li>
      <b class={'verb ' + r.method}>{r.method}</b> <a class="mono" href={address('try', { rule: ruleOf(r) })}>{plain(r.path)}</a> <span class="soft">{methodOf(r.rpc)} {r.stream === 'unary' ? '' : shape(r.stream)}</span>
    </li>)}</ul></Card> : <Empty>{routes.value ? 'No route is like that.' : 'Loading…'}</Empty>}
    <History />
  </>
}

export function Try() {
  const rule = place.value.query.get('rule') ?? ''
  const generation = edition.value
  const [loaded, failure] = useLoad(async () => {
    if (!rule) return null
    const d = await get<Detail>('routes/detail?rule=' + encodeURIComponent(rule))
    const [at, fields] = await Promise.all([get<Public>('try'), d.request ? get<{ messages: Fields }>('describe/fields?symbol=' + encodeURIComponent(d.request)) : { messages: {} }])
    mark(fields.messages)
    return { rule, d: { ...d, socket: await opensAt(d) }, at, fields: fields.messages }
  }, [rule, generation])
  if (!rule) return <Choose />
  if (failure) return <><Title text="Try" /><Empty>{failure}</Empty></>
  if (loaded?.rule !== rule) return <Title text="Try" />
  return <Bench key={rule + '\n' + place.value.query} {...loaded} />
}

const query = (rule: string, w: Wanted): Record<string, string> => {
  const message = w.message && publicMessage(w.message), headers = publicHeaders(w.headers)
  return { rule, protocol: w.protocol, ...message && message !== '{}' ? { message } : {}, ...headers ? { headers } : {}, ...w.timeout ? { timeout: w.timeout } : {}, ...w.path ? { path: publicPath(w.path) } : {} }
}

/** What is filled in at first: by the address, else what the path needs. */
function first(d: Detail, fields: Fields, q: URLSearchParams): Wanted {
  const protocols = protocolsOf(d), asked = q.get('protocol') as Protocol
  const said = q.get('message')
  let message = d.request ? JSON.stringify(begun(d, fields), null, 2) : ''
  if (said) try { message = d.request ? JSON.stringify(JSON.parse(said), null, 2) : said } catch { message = said }
  return {
    protocol: protocols.includes(asked) ? asked : d.stream === 'bidi_streaming' ? 'websocket' : protocols[0], message, headers: q.get('headers') ?? '', timeout: q.get('timeout') ?? '',
    path: d.request ? '' : q.get('path') ?? exampleOf(d), method: d.method === '*' ? 'GET' : d.method,
  }
}

function Bench({ rule, d, at, fields }: { rule: string; d: Detail; at: Public; fields: Fields }) {
  const [w, setW] = useState(() => first(d, fields, place.value.query))
  const [asForm, setAsForm] = useState(true)
  const [events, setEvents] = useState<Event[]>([])
  const [failure, setFailure] = useState('')
  const [busy, setBusy] = useState(false)
  const [sent, setSent] = useState<string[]>([])
  const [closed, setClosed] = useState(false)
  const abort = useRef<AbortController | null>(null)
  const opened = useRef(Promise.resolve('')) // the id of the call, when the gateway has said it; '' for none
  const line = useRef(Promise.resolve()) // messages go one after the other, whoever is quick
  useEffect(() => () => abort.current?.abort(), [])
  const change = (part: Partial<Wanted>) => {
    setW({ ...w, ...part })
    if (!busy) setSent([]) // what is copied is what is filled in again
  }
  const streams = !!d.request && clientStreams(d)

  let request: Request | undefined, wrong = ''
  try { request = requestOf(d, w, fields) } catch (e) { wrong = (e as Error).message }
  let message: Message | null = null
  try { message = parsed(w.message) } catch { /* the form says so */ }

  const start = async () => {
    if (!request) return
    const control = abort.current = new AbortController(), own = w
    setEvents([]); setFailure(''); setBusy(true); setClosed(!streams); setSent([])
    let told = (_: string) => {}
    opened.current = new Promise(done => { told = done })
    line.current = Promise.resolve()
    refine('try', query(rule, w))
    const socketOfServer = w.protocol === 'websocket' && d.stream === 'server_streaming' && d.socket // path and query say it all
    const messages = streams || w.protocol === 'websocket' && !socketOfServer ? [framed(d, w, fields)] : socketOfServer || !request.body ? [] : [request.body]
    if (streams) setSent([w.message])
    const asked: Asked = { protocol: w.protocol, method: request.method, url: request.url, stream: d.stream || undefined, headers: request.headers, timeout: w.timeout.trim() || undefined, messages, open: streams }
    let end: Event | undefined, head: Event | undefined, due = 0
    const list = new Kept()
    const show = () => { due = 0; if (!control.signal.aborted) setEvents(list.all()) }
    const tell = (e: Event) => {
      if (e.event === 'open') told(e.id!)
      if (e.event === 'head') head = e
      if (e.event === 'end') end = e
      list.add(e)
      due ||= window.setTimeout(show, step)
    }
    try { await run(asked, tell, control.signal) } catch (e) {
      if (control.signal.aborted) return
      setFailure((e as Error).message)
    } finally { told('') } // the first that is said holds
    clearTimeout(due)
    show()
    setBusy(false); setClosed(true)
    note(rule, own, end ? resultOf(head, end) : 'no answer')
  }
  const more = async (what: string, body?: unknown, of = opened.current) => {
    const id = await of
    if (!id) return
    try { await post(`try/${id}/${what}`, body); setFailure('') } catch (e) { setFailure((e as Error).message) }
  }
  const then = (what: string, body?: unknown) => {
    const of = opened.current
    line.current = line.current.then(() => more(what, body, of))
  }
  const send = (e: SubmitEvent) => {
    e.preventDefault()
    if (!busy) return void start()
    const next = framed(d, w, fields)
    setSent([...sent, w.message])
    then('message', next)
  }
  const halfClose = () => { setClosed(true); then('half-close') }

  const allowed = who.value?.role === 'operate'
  return <>
    <Title text={'Try ' + rule} long>
      <p class="lead">{d.rpc && <span class="mono">{d.rpc}</span>}{d.stream && <span>{shape(d.stream)}</span>}</p>
      <p class="actions"><a class="button" href={address('route', { rule })}>About the route</a><a class="button" href={address('try')}>Another route</a></p>
    </Title>
    {!at.available && <p class="card bad" role="alert">{at.why}</p>}
    <div class="bench">
      <form class="card" aria-label="Request" onSubmit={send} onKeyDown={e => sendBy(e)}>
        <header><h2>Request</h2></header>
        <fieldset class="choice"><legend>Protocol</legend>{protocolsOf(d).map(p => <label><input type="radio" name="protocol" checked={w.protocol === p} disabled={busy} onChange={() => change({ protocol: p })} /><span>{d.request ? names[p] : 'HTTP'}</span></label>)}</fieldset>
        {request && d.request && <p class="line mono" tabIndex={0} role="group" aria-label="Request line"><b class={'verb ' + (w.protocol === 'websocket' ? 'GET' : request.method)}>{w.protocol === 'websocket' ? 'GET' : request.method}</b> {plain(request.url)}</p>}
        {wrong && <p class="bad" role="alert">{wrong}</p>}
        {!d.request ? <>
          <div class="ask"><label class="short">Method <input class="mono" value={w.method} disabled={d.method !== '*'} onInput={e => change({ method: e.currentTarget.value })} /></label>
            <label class="long">Path <input class="mono" required value={w.path} onInput={e => change({ path: e.currentTarget.value })} /></label></div>
          <label>Body <textarea class="mono" rows={6} value={w.message} onInput={e => change({ message: e.currentTarget.value })} /></label>
        </> : <>
          <div class="over"><h3>{streams ? 'Next message' : 'Message'} <small class="mono">{d.request}</small></h3>
            <button type="button" class="small" onClick={() => setAsForm(!asForm)}>{asForm ? 'As JSON' : 'As a form'}</button></div>
          {asForm ? message ? <Form type={d.request} fields={fields} value={message} set={m => change({ message: JSON.stringify(m, null, 2) })} /> : <p class="bad">This is no JSON yet, and the form waits until it is.</p>
            : <textarea class="mono" aria-label="Message as JSON" rows={10} value={w.message} spellcheck={false} onInput={e => change({ message: e.currentTarget.value })} />}
        </>}
        <div class="ask">
          <label class="long">Headers, one a line <textarea class="mono" rows={2} value={w.headers} placeholder="authorization: Bearer …" onInput={e => change({ headers: e.currentTarget.value })} /></label>
          <label class="short">Deadline <input class="mono" value={w.timeout} placeholder="3s" pattern="\d+(\.\d+)?(ms|s|m)" title="such as 500ms, 3s or 1m" onInput={e => change({ timeout: e.currentTarget.value })} /></label>
        </div>
        <p class="actions">
          <button class="main" disabled={!allowed || !at.available || !!wrong || busy && closed} title={allowed ? undefined : 'This needs a token with the role OPERATE.'}>{streams ? busy ? 'Send the next message' : 'Open and send' : 'Send'}</button>
          {streams && <button type="button" disabled={!busy || closed} onClick={halfClose}>Half-close</button>}
          <button type="button" class="danger" disabled={!busy} onClick={() => more('cancel')}>Cancel</button>
          <Copy label="Copy link" text={() => location.href.replace(/#.*/, '') + address('try', query(rule, w))} />
        </p>
        {!allowed && <p class="soft">To send a request needs a token with the role OPERATE.</p>}
      </form>
      <Answer events={events} busy={busy} failure={failure} />
    </div>
    <CopyAs d={d} w={w} fields={fields} at={at} messages={sent.length ? sent : [w.message]} />
    <History />
  </>
}

/** Ctrl and Enter send, wherever in the form somebody types. */
function sendBy(e: TargetedKeyboardEvent<HTMLFormElement>) {
  const send = e.currentTarget.querySelector<HTMLButtonElement>('button.main')
  if (e.key !== 'Enter' || !e.ctrlKey && !e.metaKey || send?.disabled) return
  e.preventDefault()
  e.currentTarget.requestSubmit(send)
}

/** What is kept of the events of a call, however many there are: the last, and those that say how it began. */
class Kept {
  private first: Event[] = []
  private rest: Event[] = []
  private length = 0

  add(e: Event) {
    if (e.event === 'open' || e.event === 'head') { this.first.push(e); return }
    this.rest.push(e)
    this.length += lengthOf(e)
    while (this.rest.length > shown || this.rest.length > 1 && this.length > kept) this.length -= lengthOf(this.rest.shift()!)
  }

  all = () => [...this.first, ...this.rest]
}

const lengthOf = (e: Event) => (e.text?.length ?? 0) + (e.base64?.length ?? 0)

const resultOf = (head: Event | undefined, end: Event) => [head?.status, end.failure ?? end.code].filter(Boolean).join(' ')

const FieldList = ({ name, list }: { name: string; list?: [string, string][] }) => list?.length ? <details>
  <summary>{name} <span class="soft">{list.length}</span></summary>
  <dl class="pairs mono">{list.map(([n, v]) => <><dt>{plain(n)}</dt><dd>{plain(v)}</dd></>)}</dl>
</details> : null

const atEnd = (box: Element) => box.scrollHeight - box.scrollTop - box.clientHeight < 40

function Answer({ events, busy, failure }: { events: Event[]; busy: boolean; failure: string }) {
  const of = (name: string) => events.findLast(e => e.event === name)
  const open = of('open'), head = of('head'), trailer = of('trailer'), end = of('end')
  const flow = events.filter(e => e.event === 'sent' || e.event === 'message')
  const left = end?.failure === 'cancelled'
  const bad = (head?.status ?? 0) >= 400 || !!end?.failure && !left || !!end?.code && end.code !== 'OK'
  const box = useRef<HTMLOListElement>(null), stays = useRef(true)
  useLayoutEffect(() => { // whoever looks at the last message sees the next one, too
    if (events.length < 3) stays.current = true
    if (stays.current && flow.length > 1) box.current?.scrollTo(0, box.current.scrollHeight)
  }, [events])
  const received = flow.filter(e => e.event === 'message')
  const kind = head?.fields?.find(([name]) => name === 'content-type')?.[1]
  return <section class="card" aria-label="Answer">
    <header><h2>Answer</h2>{end && <span class="note">{duration(end.at_ms)}</span>}</header>
    <p role="status" class="verdict">{failure ? <span class="bad">{plain(failure)}</span> : !events.length ? <span class="soft">Nothing has been sent yet.</span> : <>
      {head && <b class={bad && end ? 'state bad' : left ? 'state calm' : 'state'}>{head.status}{end?.code ? ' ' + end.code : ''}</b>}
      {head && <span class="soft">{head.http}</span>}
      {end?.close && <span class="soft">closed with {end.close}</span>}
      {end?.failure && <b class={left ? 'soft' : head ? 'bad' : 'state bad'}>{plain(end.failure)}</b>}
      {busy && <span class="soft">{head ? 'The stream is open.' : 'Waiting…'}</span>}</>}</p>
    {end?.message && <p class="bad">{plain(end.message)}</p>}
    {end?.details?.length ? <div class="details"><h3>Details</h3>{end.details.map(x => <pre tabIndex={0}>{plain(JSON.stringify(x, null, 2))}</pre>)}</div> : null}
    <ol class="flow" ref={box} onScroll={e => { stays.current = atEnd(e.currentTarget) }}>{flow.length > 0 && flow[0].n! > 1 && flow[0].event === 'message' && <li class="soft">Earlier messages are left out.</li>}
      {flow.map(e => <Told key={e.event + e.n} e={e} alone={received.length === 1 && e.event === 'message' && e.n === 1} kind={kind} />)}</ol>
    <FieldList name="Headers" list={head?.fields} />
    <FieldList name="Trailers" list={trailer?.fields} />
    {open?.trace_id && <p class="soft trace">Trace <Trace id={open.trace_id} /> <Copy label="Copy" text={() => open.trace_id!} /></p>}
  </section>
}

const most = 100_000 // characters of a message that are shown at first

/** A message, in full only when somebody asks for it. */
const Told = memo(({ e, alone, kind }: { e: Event; alone: boolean; kind?: string }) => {
  const [all, setAll] = useState(false)
  const text = useMemo(() => e.text === undefined ? undefined : plain(pretty(e.text)), [e])
  return <li class={e.event}>
    <p><b>{e.event === 'sent' ? '→ sent' : '← received'}{e.kind && ' ' + plain(e.kind)} {!alone && e.n}</b> <span class="soft">{duration(e.at_ms)}, {size(e.bytes)}{e.cut && ', cut'}</span></p>
    {text !== undefined && <pre tabIndex={0}>{all ? text : text.slice(0, most)}</pre>}
    {text !== undefined && text.length > most && !all && <p><button type="button" class="small" onClick={() => setAll(true)}>Show all of {size(e.text!.length)}</button></p>}
    {e.base64 && <p><a class="button" download="answer" href={'data:application/octet-stream;base64,' + e.base64}>Save {size(e.bytes)}{kind && ' of ' + plain(kind)}</a></p>}
  </li>
})

function CopyAs({ d, w, fields, at, messages }: { d: Detail; w: Wanted; fields: Fields; at: Public; messages: string[] }) {
  const [tool, setTool] = useState('curl')
  let text = '', wrong = ''
  try { text = copyAs(tool, d, w, fields, at, messages) } catch (e) { wrong = (e as Error).message }
  return <section class="card wide copies" aria-label="Copy as">
    <header><h2>Copy as</h2><Copy label="Copy" text={() => text} /></header>
    <fieldset class="choice"><legend class="skip">Tool</legend>{toolsFor(d).map(t => <label><input type="radio" name="tool" checked={t === tool} onChange={() => setTool(t)} /><span>{t}</span></label>)}</fieldset>
    {wrong ? <p class="bad">{wrong}</p> : <pre class="command" tabIndex={0}>{plain(text)}</pre>}
    {otherwise(tool, w.protocol) && <p class="soft">{otherwise(tool, w.protocol)}</p>}
    {linesOf(w.headers).length > 0 && <p class="soft">It has your headers in it, also those with secrets. The link of this page has none of these.</p>}
  </section>
}

function History() {
  const list = history.value
  return <section class="card wide" aria-label="History">
    <header><h2>History</h2><label class="switch"><input type="checkbox" checked={!!list} onChange={e => keep(e.currentTarget.checked)} /> Keep the last 50 calls in this tab, without secrets</label></header>
    {list?.length ? <ul class="facts">{list.map(h => <li>
      <span class="soft">{clock(h.at)}</span> <a class="mono" href={address('try', { ...query(h.rule, h.wanted), at: String(h.at) })}>{h.rule}</a> <span>{names[h.wanted.protocol]}</span> <span class="soft">{h.result}</span></li>)}</ul>
      : <p class="soft">{list ? 'No call yet.' : 'Nothing is kept.'}</p>}
  </section>
}
