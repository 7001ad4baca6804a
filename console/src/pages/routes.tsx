import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Route, ruleOf } from '../api'
import { columns, indexOf, opens } from '../find'
import { count, methodOf, plain, plural, shape } from '../format'
import { memo } from '../memo'
import { address, place, refine, routes } from '../state'
import { Empty, Title } from '../ui'

/** The rows of a list that are to be seen, and some around them. Its sizes are asked for when they can have changed: to ask takes a layout. */
function useView(shows: boolean) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ from: 0, to: 40, row: 38 })
  const look = () => {
    const b = box.current
    if (!b) return
    const row = parseFloat(getComputedStyle(b).getPropertyValue('--row')) || 38
    const from = Math.max(0, Math.floor(b.scrollTop / row) - 8)
    const to = Math.ceil((b.scrollTop + b.clientHeight) / row) + 8
    setView(old => from === old.from && to === old.to && row === old.row ? old : { from, to, row })
  }
  useLayoutEffect(() => {
    if (!box.current) return
    const sizes = new ResizeObserver(look)
    sizes.observe(box.current)
    look()
    return () => sizes.disconnect()
  }, [shows])
  return { box, view, look, toTop: () => { if (view.from > 0) box.current?.scrollTo(0, 0) } }
}

const Row = memo(({ r, index, top }: { r: Route; index: number; top: number }) =>
  <div class="row" role="row" aria-rowindex={index + 2} style={{ top: top + 'px' }}>
    <span role="cell"><b class={'verb ' + r.method}>{r.method}</b></span>
    <span role="cell" class="mono"><a href={address('route', { rule: ruleOf(r) })}>{plain(r.path)}{r.conditions && <i> {plain(r.conditions.join(' '))}</i>}</a></span>
    <span role="cell" class="mono soft" title={r.rpc}>{methodOf(r.rpc)}</span>
    <span role="cell" class="soft">{shape(r.stream)}</span>
    <span role="cell" title={r.upstream || r.answer}>{r.upstream || r.answer}</span>
    <span role="cell" class="chips" title={r.policies.join(', ')}><span>{r.policies.map(p => <i class="chip">{p}</i>)}</span>{r.policies.length > 2 && <small>of {r.policies.length}</small>}</span>
  </div>)

/** All routes. Only the rows that are to be seen are there, so that 20,000 are as quick as 20. */
export function Routes() {
  const all = routes.value
  const [words, setWords] = useState(place.value.query.get('q') ?? '')
  const [by, setBy] = useState(-1)
  const [down, setDown] = useState(false)
  const list = useMemo(() => all ? indexOf(all).find(words, by, down) : [], [all, words, by, down])
  const { box, view, look, toTop } = useView(list.length > 0)
  const keep = useRef(0)
  const refined = (text: string) => {
    clearTimeout(keep.current) // what comes later would change the address of another page
    refine('routes', text ? { q: text } : {})
  }
  useLayoutEffect(() => { setWords(place.value.query.get('q') ?? '') }, [place.value]) // before anybody can type what it would take away
  useLayoutEffect(() => () => clearTimeout(keep.current), [])
  const filter = (text: string) => {
    setWords(text)
    toTop()
    clearTimeout(keep.current) // a browser takes 10 ms to change the address, and changes it only so often
    keep.current = window.setTimeout(() => refined(text), 250)
  }
  const open = (e: KeyboardEvent) => {
    if (e.key === 'Enter') refined(words) // that is where Back leads to
    opens(list, 'route')(e)
  }
  const sort = (i: number) => { if (by === i && down) setBy(-1); else { setDown(by === i); setBy(i) } }
  return <>
    <Title text="Routes">
      <label class="filter">Filter <input type="search" value={words} placeholder="path, RPC, upstream or policy" onInput={e => filter(e.currentTarget.value)} onKeyDown={open} /></label>
    </Title>
    <p class="lead" role="status">{!all ? 'Loading…' : list.length === all.length ? plural(all.length, 'route') : `${count(list.length)} of ${plural(all.length, 'route')}`}</p>
    {all && !list.length ? <Empty>{all.length ? <>No route has <b>{plain(words)}</b>.</> : 'Nothing is served yet.'}</Empty> :
      <div class="rows" role="table" aria-label="Routes" aria-rowcount={list.length + 1}>
        <div class="row head" role="row" aria-rowindex={1}>
          {columns.map((c, i) => <span role="columnheader" aria-sort={by === i ? down ? 'descending' : 'ascending' : 'none'}>
            <button type="button" onClick={() => sort(i)}>{c.name}{by === i && <span aria-hidden="true">{down ? ' ↓' : ' ↑'}</span>}</button></span>)}
        </div>
        <div class="window" role="rowgroup" ref={box} onScroll={look} tabIndex={0} aria-label="Routes">
          <svg class="space" aria-hidden="true" height={list.length * view.row} width="1" />
          {list.slice(view.from, view.to).map((r, i) => <Row key={view.from + i} r={r} index={view.from + i} top={(view.from + i) * view.row} />)}
        </div>
      </div>}
  </>
}
