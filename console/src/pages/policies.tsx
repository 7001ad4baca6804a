import { useMemo } from 'preact/hooks'
import { get, Limit, Memory, PolicyState, post } from '../api'
import { count, plural, size } from '../format'
import { address, edition, history, routes, status } from '../state'
import { Card, Empty, Fill, Operate, State, Table, Title, useLoad } from '../ui'

const MemoryOf = ({ of, memory }: { of: string; memory: Memory }) => <><dt>{of}</dt><dd>
  <Fill part={memory.max ? memory.bytes / memory.max : 0} text={`${size(memory.bytes)} of ${size(memory.max)}`} /> <span class="soft">{memory.entries === 1 ? '1 entry' : count(memory.entries) + ' entries'}{memory.evicted ? `, ${count(memory.evicted)} dropped for want of room` : ''}</span></dd></>

/** How often caches answered, of the calls that they could have answered. */
function hits(state: PolicyState): string {
  const c = state.decisions.find(d => d.policy === 'cache')?.counts ?? {}
  const hit = (c.hit ?? 0) + (c.stale ?? 0) + (c.revalidated ?? 0) + (c.collapsed ?? 0), all = hit + (c.miss ?? 0)
  return all ? `${(100 * hit / all).toFixed(1)} % of ${count(all)} calls` : 'no call yet'
}

const results = ['admitted', 'refused']

function Decisions({ state }: { state: PolicyState }) {
  const list = state.decisions.filter(d => Object.values(d.counts).some(Boolean))
  if (!list.length) return <Empty>No policy has decided anything yet.</Empty>
  return <Table label="Decisions" head={['Policy', '#Admitted', '#Refused', 'Other results']}>{list.map(d => <tr>
    <td>{d.policy}</td><td class="number">{count(d.counts.admitted ?? 0)}</td>
    <td class={d.counts.refused ? 'number bad' : 'number'}>{count(d.counts.refused ?? 0)}</td>
    <td>{Object.entries(d.counts).filter(([k, n]) => n && !results.includes(k)).map(([k, n]) => `${k.replaceAll('_', ' ')} ${count(n)}`).join(', ') || '–'}</td>
  </tr>)}</Table>
}

function Limits({ list, total }: { list: Limit[]; total: number }) {
  if (!list.length) return <Empty>No route has a rate limit.</Empty>
  return <>
    <Table label="Rate limits" head={['Method or route', 'Limit', 'By', '#Callers', '#Spent', 'Fullest caller']}>{list.map(l => <tr>
      <td><a class="mono" href={address('routes', { q: l.of.replace(/^.*\//, '') })}>{l.of}</a>{l.others ? <span class="soft"> and {l.others} more</span> : null}</td>
      <td>{l.text}</td><td>{l.by}</td>
      {l.shared ? <td colSpan={3} class="soft">counted in Redis</td> : <>
        <td class="number">{count(l.callers)}</td><td class={l.spent ? 'number bad' : 'number'}>{count(l.spent)}</td>
        <td><Fill part={l.fullest} text={Math.round(100 * l.fullest) + ' %'} /></td></>}
    </tr>)}</Table>
    {total > list.length && <p class="soft">The {list.length} that callers have used most, of {count(total)}.</p>}
  </>
}

export function Policies() {
  const { circuits, maintenance } = status.value!
  const used = useMemo(() => {
    const counts = new Map<string, number>()
    for (const r of routes.value ?? []) for (const p of r.policies) counts.set(p, (counts.get(p) ?? 0) + 1)
    return [...counts].sort((a, b) => b[1] - a[1])
  }, [routes.value])
  const [state, failure] = useLoad(() => get<PolicyState>('policies'), [history.value, edition.value])
  const circuit = (upstream: string, rpc: string, state: string) => () =>
    post(`upstreams/${encodeURIComponent(upstream)}/circuit?${new URLSearchParams({ rpc, state })}`)
  return <>
    <Title text="Policies" />
    <div class="cards">
      <Card title="In use">
        {used.length ? <ul class="facts columns">{used.map(([name, n]) => <li><a href={address('routes', { q: name })}>{name}</a> <span class="soft">{plural(n, 'route')}</span></li>)}</ul>
          : <Empty>No route has a policy.</Empty>}
      </Card>
      <Card title="Memories">
        {state?.cache || state?.keys ? <dl class="pairs">
          {state.cache && <><MemoryOf of="kept answers" memory={state.cache} /><dt>hits</dt><dd>{hits(state)}</dd></>}
          {state.keys && <MemoryOf of="idempotency keys" memory={state.keys} />}</dl> : <Empty>{failure || 'No answers and no idempotency keys are kept here.'}</Empty>}
      </Card>
      <Card title="Decisions" note="since the start" wide>{state ? <Decisions state={state} /> : <Empty>{failure || 'Loading…'}</Empty>}</Card>
      <Card title="Rate limits" note={state?.limits.length ? 'spent: who would be refused now' : undefined} wide>{state ? <Limits list={state.limits} total={state.limits_total} /> : <Empty>{failure || 'Loading…'}</Empty>}</Card>
      <Card title="Maintenance" wide>
        {maintenance.length ? <ul class="facts">{maintenance.map(m => <li>{m.name} <span class="soft">{m.services.join(', ')}</span> {m.on ? <b class="bad">on</b> : 'off'} <Operate
          label={m.on ? 'End' : 'Begin'} danger={!m.on} act={() => post(`maintenance?${new URLSearchParams({ name: m.name, state: m.on ? 'off' : 'on' })}`)} /></li>)}</ul>
          : <Empty>The configuration has no maintenance.</Empty>}
      </Card>
      <Card title="Circuit breakers" wide>
        {circuits.length ? <Table label="Circuit breakers" head={['Upstream', 'RPC', 'State', '#Calls', '#Failures', '#In a row', 'By hand']}>
          {circuits.map(c => <tr>
            <td>{c.upstream}</td><td class="mono">{c.rpc || 'all'}</td><td><State name={c.state} why={c.open_for && 'for ' + c.open_for} /></td>
            <td class="number">{c.calls}</td><td class="number">{c.failures}</td><td class="number">{c.in_a_row}</td>
            <td class="buttons"><Operate label="Open" danger act={circuit(c.upstream, c.rpc, 'open')} /> <Operate label="Close" act={circuit(c.upstream, c.rpc, 'closed')} /> <Operate label="Let it decide" act={circuit(c.upstream, c.rpc, 'auto')} /></td>
          </tr>)}
        </Table> : <Empty>No method has one, or none has been called yet.</Empty>}
      </Card>
    </div>
  </>
}
