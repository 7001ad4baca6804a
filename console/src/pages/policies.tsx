import { useMemo } from 'preact/hooks'
import { post } from '../api'
import { plural } from '../format'
import { address, routes, status } from '../state'
import { Card, Empty, Operate, State, Table, Title } from '../ui'

export function Policies() {
  const { circuits, maintenance } = status.value!
  const used = useMemo(() => {
    const counts = new Map<string, number>()
    for (const r of routes.value ?? []) for (const p of r.policies) counts.set(p, (counts.get(p) ?? 0) + 1)
    return [...counts].sort((a, b) => b[1] - a[1])
  }, [routes.value])
  const circuit = (upstream: string, rpc: string, state: string) => () =>
    post(`upstreams/${encodeURIComponent(upstream)}/circuit?${new URLSearchParams({ rpc, state })}`)
  return <>
    <Title text="Policies" />
    <div class="cards">
      <Card title="In use">
        {used.length ? <ul class="facts">{used.map(([name, n]) => <li><a href={address('routes', { q: name })}>{name}</a> <span class="soft">{plural(n, 'route')}</span></li>)}</ul>
          : <Empty>No route has a policy.</Empty>}
      </Card>
      <Card title="Maintenance">
        {maintenance.length ? <ul class="facts">{maintenance.map(m => <li>{m.name} <span class="soft">{m.services.join(', ')}</span> {m.on ? <b class="bad">on</b> : 'off'} <Operate
          label={m.on ? 'End' : 'Begin'} danger={!m.on} act={() => post(`maintenance?${new URLSearchParams({ name: m.name, state: m.on ? 'off' : 'on' })}`)} /></li>)}</ul>
          : <Empty>The configuration has no entry of maintenance.</Empty>}
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
