import { useLayoutEffect, useState } from 'preact/hooks'
import { exampleOf, post, Route, ruleOf, Verdict } from '../api'
import { plain, quoted } from '../format'
import { address, place, refine, routes } from '../state'
import { Card, Copy, Empty, Title } from '../ui'

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'WEBSOCKET']

/** The command that prints the same. */
function command(method: string, url: string, headers: string[], body: string): string {
  return ['transom explain', method === 'WEBSOCKET' ? 'websocket' : method, quoted(url), ...headers.map(h => '-H ' + quoted(h)), ...(body ? ['-d ' + quoted(body)] : [])].join(' ')
}

/** Routes whose paths begin as one does that no route takes, as somebody may have meant one of them. */
function Near({ url }: { url: string }) {
  const wanted = url.replace(/^[a-z]+:\/\/[^/]*|[?#].*/g, '').split(/[/:]/).slice(1)
  const fits = (r: Route) => {
    const own = exampleOf(r).split(/[/:]/).slice(1), template = r.path.includes('{') || r.path.includes('*')
    let same = 0
    while (same < wanted.length && same < own.length && (own[same] === wanted[same] || template && own[same] === '1')) same++
    return same / Math.max(wanted.length, own.length)
  }
  const list = (routes.value ?? []).map(r => [fits(r), r] as const).filter(([f]) => f >= 0.5).sort((a, b) => b[0] - a[0]).slice(0, 5)
  return list.length ? <><h3>Routes that are like it</h3><ul class="facts choices">{list.map(([, r]) => <li>
    <b class={'verb ' + r.method}>{r.method}</b> <a class="mono" href={address('route', { rule: ruleOf(r) })}>{plain(r.path)}</a></li>)}</ul></> : null
}

export function Explain() {
  const { query } = place.value
  const [method, setMethod] = useState(query.get('method') ?? 'GET')
  const [url, setURL] = useState(query.get('url') ?? '')
  const [header, setHeader] = useState('')
  const [body, setBody] = useState('')
  const [verdict, setVerdict] = useState<Verdict | null>(null)
  const [failure, setFailure] = useState('')
  const headers = header.split('\n').map(h => h.trim()).filter(Boolean)
  const ask = async (m: string, u: string, h: string[], b: string) => {
    try {
      setVerdict(await (await post('explain', { method: m, url: u, headers: h, body: b })).json())
      setFailure('')
    } catch (e) {
      setVerdict(null)
      setFailure((e as Error).message)
    }
  }
  useLayoutEffect(() => { // before anybody can type what it would take away
    const m = query.get('method') ?? 'GET', u = query.get('url') ?? ''
    setMethod(m)
    setURL(u)
    if (u) void ask(m, u, headers, body)
  }, [query])
  const submit = (e: Event) => {
    e.preventDefault()
    refine('explain', { method, url })
    void ask(method, url, headers, body)
  }
  const refused = verdict?.steps.find(s => s.name === 'refused')
  return <>
    <Title text="Explain"><p class="lead">What becomes of a request, and why. No policy is asked, and no backend called.</p></Title>
    <form class="card ask" onSubmit={submit} aria-label="Request">
      <label class="short">Method <select value={method} onChange={e => setMethod(e.currentTarget.value)}>
        {(methods.includes(method) ? methods : [method, ...methods]).map(m => <option>{m}</option>)}</select></label>
      <label class="long">Path or URL <input class="mono" required value={url} placeholder="/v1/shelves/1?view=FULL" onInput={e => setURL(e.currentTarget.value)} /></label>
      <label class="half">Headers, one a line <textarea class="mono" rows={3} value={header} placeholder="authorization: Bearer …" onInput={e => setHeader(e.currentTarget.value)} /></label>
      <label class="half">Body <textarea class="mono" rows={3} value={body} placeholder='{"theme": "tides"}' onInput={e => setBody(e.currentTarget.value)} /></label>
      <p class="actions"><button class="main">Explain</button>{url && <Copy label="Copy as command" text={() => command(method, url, headers, body)} />}</p>
    </form>
    <div role="status">
      {failure && <p class="card bad">{plain(failure)}</p>}
      {verdict && <Card title={!verdict.accepted ? 'It would be refused' : verdict.steps.some(s => s.name === 'policy') ? 'It would be served if its policies admit it' : 'It would be served'} note={verdict.status ? 'status ' + verdict.status : undefined}>
        {refused && <p class="bad">{plain(refused.text)}</p>}
        <ol class="steps explained">{verdict.steps.map(s => <li class={s.name === 'refused' ? 'refused' : s.policy ? 'policy' : ''}>
          <b>{s.policy ?? s.name}</b><span class={s.policy || s.name === 'refused' ? '' : 'mono'}>{s.name === 'route' ? <a href={address('route', { rule: s.text })}>{plain(s.text)}</a> : plain(s.text || 'set')}</span>{s.where && <small class="mono">{s.where}</small>}
        </li>)}</ol>
        {!verdict.steps.some(s => s.name === 'route') && <Near url={url} />}
      </Card>}
      {!verdict && !failure && <Empty>Say which request, such as <span class="mono">GET /v1/shelves/1</span>.</Empty>}
    </div>
  </>
}
