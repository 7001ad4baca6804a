import { useLayoutEffect, useState } from 'preact/hooks'
import type { Call } from '../api'
import { Seen, useCalls } from '../calls'
import { count, duration, instant, plain, plural, pretty, quoted } from '../format'
import { place, refine, who } from '../state'
import { Copy, Empty, Title, Trace } from '../ui'

const kept = 200

const examples: [string, string][] = [
  ['failed', 'status >= 500'], ['refused', "refused_by != ''"], ['slow', 'duration_ms > 500.0'], ['streams', 'request_messages + response_messages > 2'],
]

/** Calls as they end, without those that a filter leaves out; the gateway filters. */
export function Live() {
  const asked = place.value.query.get('filter') ?? ''
  const [text, setText] = useState(asked)
  const [filter, setFilter] = useState(asked)
  const [paused, setPaused] = useState(false)
  const [messages, setMessages] = useState(false)
  const { calls, more, now, failure, clear } = useCalls(filter, paused, kept, messages)
  useLayoutEffect(() => { setText(asked); setFilter(asked) }, [asked]) // before anybody can type what it would take away

  useLayoutEffect(() => {
    const press = (e: KeyboardEvent) => {
      if (e.key !== ' ' || e.ctrlKey || e.metaKey || e.altKey || (e.target as HTMLElement).closest('input, textarea, select, dialog, button, a, summary')) return
      e.preventDefault()
      setPaused(p => !p)
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])

  const use = (f: string) => {
    setText(f)
    refine('live', f ? { filter: f } : {})
    setFilter(f)
  }
  const at = /^filter:1:(\d+): /.exec(failure)
  return <>
    <Title text="Live"><p class="actions">
      <button type="button" class={paused ? 'small main' : 'small'} onClick={() => setPaused(!paused)}>{paused ? 'Resume' : 'Pause'} <kbd>space</kbd></button>
      <button type="button" class="small" onClick={clear}>Clear</button>
      <Copy label="Copy as curl" text={() => `curl -NG ${quoted(new URL('../live', location.href.replace(/#.*/, '')).href)}` + (filter ? ` --data-urlencode ${quoted('filter=' + filter)}` : '') + (messages ? ' -d messages=true' : '')} />
    </p></Title>
    <form class="card tail" onSubmit={e => { e.preventDefault(); use(text) }}>
      <label>Filter, an expression of CEL over the names of the access log
        <span class="line-of"><input type="search" class="mono" value={text} spellcheck={false} placeholder="status >= 400 && path.startsWith('/v1/')" maxLength={4096}
          aria-invalid={!!at} aria-describedby="wrong" onInput={e => setText(e.currentTarget.value)} /><button class={text !== filter ? 'main' : ''}>Apply</button></span></label>
      <div id="wrong" role="status">{failure && <>
        {at && <pre class="caret">{filter + '\n' + ' '.repeat(Number(at[1]) - 1) + '↑'}</pre>}<p class="bad">{plain(failure)}</p></>}</div>
      <p class="actions">{examples.map(([name, f]) => <button type="button" class="small" aria-pressed={filter === f} onClick={() => use(filter === f ? '' : f)}>{name}</button>)}
        {who.value?.role === 'operate' && <label class="switch"><input type="checkbox" checked={messages} onChange={e => setMessages(e.currentTarget.checked)} /> Messages, as admin.capture shows them</label>}</p>
    </form>
    <p class="lead"><span role="status" class={'state ' + (!paused && !at && now === 'live' ? 'good' : 'calm')}>{
      paused ? 'paused' : at ? 'the filter is wrong' : now === 'live' ? 'watching' : now === 'lost' ? 'reconnecting…' : 'connecting…'}</span>
      <span>{calls.length === kept ? `the last ${kept} calls` : plural(calls.length, 'call')}</span>
      {more.dropped > 0 && <span>and {plural(more.dropped, 'more')}, beyond 200 a second</span>}
      {more.missed > 0 && <span>{count(more.missed)} not looked at, since there were too many</span>}</p>
    {calls.length ? <Calls list={calls} /> :
      <Empty>{paused ? 'Paused.' : filter ? 'No call yet that the filter takes.' : 'No call yet. Those that end from now on are shown here; nothing is kept.'}</Empty>}
  </>
}

const shown = new Set(['n', 'time', 'method', 'path', 'status', 'code', 'duration_ms', 'messages'])

export const Calls = ({ list }: { list: Seen[] }) =>
  <ol class="calls" aria-label="Calls, the latest first">{list.map(c => <li key={c.n}><Row call={c} /></li>)}</ol>

/** The messages of a call that may be seen. */
const Messages = ({ of }: { of: NonNullable<Call['messages']> }) => <ul class="flow said">
  {(['request', 'response'] as const).map(side => of[side]?.map(text => <li class={side === 'request' ? 'sent' : 'message'}>
    <p><b>{side === 'request' ? '→ request' : '← response'}</b></p><pre tabIndex={0}>{plain(pretty(text))}</pre></li>))}
  {of.cut && <li class="soft">There was more than is shown.</li>}
</ul>

function Row({ call }: { call: Call }) {
  const mood = call.status >= 500 || call.status < 100 ? 'bad' : call.status >= 400 || call.code !== 'OK' ? 'warn' : 'good'
  return <details>
    <summary>
      <time class="soft" title={call.time}>{instant(call.time)}</time>
      <b class={'verb ' + call.method}>{plain(call.method)}</b>
      <span class="mono path">{plain(call.path)}</span>
      <span class={'state ' + mood}>{call.status >= 100 ? call.status : '–'}{call.code !== 'OK' && <small> {call.code}</small>}</span>
      <span class="number">{duration(call.duration_ms)}</span>
      <span class="soft by">{plain(call.refused_by ? 'by ' + call.refused_by : call.cache ? 'cache ' + call.cache : call.principal || call.client_ip || '')}</span>
    </summary>
    {call.messages && <Messages of={call.messages} />}
    <dl class="pairs">{Object.entries(call).filter(([k]) => !shown.has(k)).map(([k, v]) => <><dt>{k}</dt><dd class="mono">{k === 'trace_id' ? <Trace id={String(v)} /> : plain(typeof v === 'object' ? JSON.stringify(v) : String(v))}</dd></>)}</dl>
  </details>
}
