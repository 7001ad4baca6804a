import { post } from '../api'
import { count, duration, moment } from '../format'
import { status } from '../state'
import { Card, Empty, Operate, State, Table, Title } from '../ui'

export function Upstreams() {
  const { upstreams } = status.value!
  const set = (name: string, at: string, state: string) => () =>
    post(`upstreams/${encodeURIComponent(name)}/endpoint?${new URLSearchParams({ address: at, state })}`)
  return <>
    <Title text="Upstreams" />
    {!upstreams.length && <Empty>There is none.</Empty>}
    <div class="cards">{upstreams.map(u => <Card title={u.name} note={<><span class="mono">{u.target}</span> <State name={u.state} /></>} wide>
      {u.why && <p class="bad">{u.why}</p>}
      {u.endpoints.length ? <Table label={`Endpoints of ${u.name}`} head={['Address', 'State', 'Since', '#In flight', '#Calls', '#Faults', '#Latency', '#Connections', 'By hand']}>
        {u.endpoints.map(e => <tr>
          <td class="mono">{e.addresses.join(', ')}{e.zone && <span class="soft"> {e.zone}</span>}</td>
          <td><State name={e.state} why={e.why} />{e.used && e.state !== 'READY' && <span class="soft"> used, as none is better</span>}</td>
          <td>{moment(e.since)}</td>
          <td class="number">{e.in_flight}</td><td class="number">{count(e.calls)}</td>
          <td class={e.faults ? 'number bad' : 'number'}>{count(e.faults)}</td>
          <td class="number">{e.latency_ms ? duration(e.latency_ms) : '–'}</td><td class="number">{e.connections}</td>
          <td>{e.state === 'OUT'
            ? <Operate label="Put back" act={set(u.name, e.addresses[0], 'in')} />
            : <Operate label="Take out" danger act={set(u.name, e.addresses[0], 'out')} />}</td>
        </tr>)}
      </Table> : <Empty>No endpoint is known yet.</Empty>}
    </Card>)}</div>
  </>
}
