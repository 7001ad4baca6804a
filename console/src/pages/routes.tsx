import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Route, ruleOf } from '../api'
import { plain, plural } from '../format'
import { address, place, refine, routes } from '../state'
import { Empty, Title } from '../ui'

const columns: { name: string; of: (r: Route) => string }[] = [
  { name: 'Method', of: r => r.method },
  { name: 'Path', of: r => r.path },
  { name: 'RPC', of: r => r.rpc ?? '' },
  { name: 'Stream', of: r => r.stream ?? '' },
  { name: 'Upstream', of: r => r.upstream || r.answer || '' },
  { name: 'Policies', of: r => r.policies.join(' ') },
]

/** All that a word of the filter may be in, made once for each list. */
const texts = new WeakMap<Route[], string[]>()
function textsOf(all: Route[]): string[] {
  let list = texts.get(all)
  if (!list) {
    list = all.map(r => columns.map(c => c.of(r)).concat(r.conditions ?? []).join('\n').toLowerCase())
    texts.set(all, list)
  }
  return list
}

export function filtered(all: Route[], words: string, by: number, down: boolean): Route[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean)
  const list = wanted.length ? all.filter((_, i) => wanted.every(w => textsOf(all)[i].includes(w))) : all.slice()
  if (by >= 0) {
    const of = columns[by].of
    list.sort((a, b) => { const x = of(a), y = of(b); return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1) })
  }
  return list
}

const streams: Record<string, string> = { unary: 'unary', client_streaming: 'client stream', server_streaming: 'server stream', bidi_streaming: 'bidi' }

/** All routes. Only the rows that are to be seen are there, so that 20,000 are as quick as 20. */
export function Routes() {
  const all = routes.value
  const [words, setWords] = useState(place.value.query.get('q') ?? '')
  const [by, setBy] = useState(-1)
  const [down, setDown] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ from: 0, to: 40, row: 38 })
  const list = useMemo(() => filtered(all ?? [], words, by, down), [all, words, by, down])
  useEffect(() => { // the first word of a filter does not wait for it
    const soon = setTimeout(() => all && textsOf(all), 100)
    return () => clearTimeout(soon)
  }, [all])
  const look = () => {
    const b = box.current
    if (!b) return
    const row = parseFloat(getComputedStyle(b).getPropertyValue('--row')) || 38
    const from = Math.max(0, Math.floor(b.scrollTop / row) - 8)
    const to = Math.ceil((b.scrollTop + b.clientHeight) / row) + 8
    if (from !== view.from || to !== view.to || row !== view.row) setView({ from, to, row })
  }
  useLayoutEffect(() => {
    look()
    addEventListener('resize', look)
    return () => removeEventListener('resize', look)
  })
  const filter = (text: string) => {
    setWords(text)
    refine('routes', text ? { q: text } : {})
    box.current?.scrollTo(0, 0)
  }
  const sort = (i: number) => { if (by === i && down) setBy(-1); else { setDown(by === i); setBy(i) } }
  return <>
    <Title text="Routes">
      <label class="filter">Filter <input type="search" value={words} placeholder="path, RPC, upstream or policy" onInput={e => filter(e.currentTarget.value)} /></label>
    </Title>
    <p class="lead" role="status">{!all ? 'Loading…' : list.length === all.length ? plural(all.length, 'route') : `${list.length.toLocaleString('en')} of ${plural(all.length, 'route')}`}</p>
    {all && !list.length ? <Empty>{all.length ? <>No route has <b>{plain(words)}</b>.</> : 'Nothing is served yet.'}</Empty> :
      <div class="rows" role="table" aria-label="Routes" aria-rowcount={list.length + 1}>
        <div class="row head" role="row" aria-rowindex={1}>
          {columns.map((c, i) => <span role="columnheader" aria-sort={by === i ? down ? 'descending' : 'ascending' : 'none'}>
            <button type="button" onClick={() => sort(i)}>{c.name}{by === i && <span aria-hidden="true">{down ? ' ↓' : ' ↑'}</span>}</button></span>)}
        </div>
        <div class="window" role="rowgroup" ref={box} onScroll={look} tabIndex={0} aria-label="Routes">
          <svg class="space" aria-hidden="true" height={list.length * view.row} width="1" />
          {list.slice(view.from, view.to).map((r, i) => {
            const index = view.from + i
            return <div class="row" role="row" aria-rowindex={index + 2} key={ruleOf(r)} style={{ top: index * view.row + 'px' }}>
              <span role="cell"><b class={'verb ' + r.method}>{r.method}</b></span>
              <span role="cell" class="mono"><a href={address('route', { rule: ruleOf(r) })}>{plain(r.path)}{r.conditions && <i> {plain(r.conditions.join(' '))}</i>}</a></span>
              <span role="cell" class="mono soft" title={r.rpc}>{r.rpc?.replace(/^.*\//, '')}</span>
              <span role="cell" class="soft">{streams[r.stream ?? '']}</span>
              <span role="cell">{r.upstream || r.answer}</span>
              <span role="cell" class="chips">{r.policies.map(p => <i class="chip">{p}</i>)}</span>
            </div>
          })}
        </div>
      </div>}
  </>
}
