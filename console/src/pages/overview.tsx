import type { Point } from '../api'
import { Chart, latencyNote, Spark } from '../chart'
import { count, duration, methodOf, moment, plain, plural, rate, span } from '../format'
import { address, connection, history, routes, status } from '../state'
import { Card, Empty, State, Table, Title } from '../ui'

const Tile = ({ name, value, note, bad }: { name: string; value: string; note?: string; bad?: boolean }) =>
  <div class="tile"><dt>{name}</dt><dd class={bad ? 'bad' : ''}>{value}</dd>{note && <dd class="note">{note}</dd>}</div>

/** What the last minute tells. */
function lately(points: Point[], step: number) {
  const last = points.slice(-60 / step)
  const sum = (f: (p: Point) => number) => last.reduce((a, p) => a + f(p), 0)
  const n = sum(p => p.n), calls = sum(p => p.n - p.s), answered = last.filter(p => p.p50 >= 0)
  return {
    rate: last.length ? n / (last.length * step) : 0, failed: n ? sum(p => p.f) / n : 0, refused: n ? sum(p => p.r) / n : 0,
    p50: answered.length ? answered.reduce((a, p) => a + p.p50 * (p.n - p.s), 0) / calls : -1,
    p99: answered.length ? Math.max(...answered.map(p => p.p99)) : -1,
  }
}

const percent = (f: number) => f === 0 ? '0 %' : f < 0.001 ? '< 0.1 %' : (f * 100).toFixed(1) + ' %'

export function Overview() {
  const s = status.value!, h = history.value
  const points = h?.all ?? [], step = h?.step ?? 5
  const now = lately(points, step)
  const times = points.map(p => p.t)
  const present = points.length ? points[points.length - 1].t * 1000 : Date.now() // the gateway's clock, where it has said: the browser's may be wrong
  const warnings = [...s.not_reloaded, ...s.stores, ...(s.failed_at ? [] : s.problems.map(p => p.message))]
  return <>
    <Title text="Overview">
      <p class="lead">{connection.value !== 'live' ? <span class="state calm">not connected: what was known last</span> : s.ready ? <State name="READY" /> : <State name="NOT_READY" why={s.reason} />}
        {s.loaded_at && <span>generation {s.generation}, in service since {moment(s.loaded_at)}</span>}</p>
    </Title>
    <dl class="tiles">
      <Tile name="Requests per second" value={rate(now.rate)} note="last minute" />
      <Tile name="Failed" value={percent(now.failed)} bad={now.failed > 0.01} note={percent(now.refused) + ' refused'} />
      <Tile name="Median latency" value={duration(now.p50)} note="last minute" />
      <Tile name="p99 latency" value={duration(now.p99)} note="worst 5 s of the minute" />
      <Tile name="Routes" value={count(routes.value?.length ?? 0)} note={plural(s.upstreams.length, 'upstream')} />
      <Tile name="Up for" value={s.started ? span(present - Date.parse(s.started)) : '–'} note={'version ' + s.version} />
    </dl>
    <div class="cards">
      <Card title="Requests" note="per second">
        <Chart label="Requests per second" times={times} format={rate} series={[
          { name: 'all', mood: 'accent', area: true, values: points.map(p => p.n / step) },
          { name: 'refused', mood: 'warn', values: points.map(p => p.r / step) },
          { name: 'failed', mood: 'bad', values: points.map(p => p.f / step) },
        ]} />
      </Card>
      <Card title="Latency" note={latencyNote}>
        <Chart label="Latency" times={times} format={duration} series={[
          { name: 'p99', mood: 'warn', values: points.map(p => p.p99) },
          { name: 'p50', mood: 'accent', values: points.map(p => p.p50) },
        ]} />
      </Card>
      <Card title="Busiest routes" note="15 min" wide>
        {h?.routes.length ? <Table label="Busiest routes" head={['Route', 'RPC', '#Requests', '#Failed', '#p99', 'Last 15 min']}>
          {h.routes.map(r => <tr>
            <td>{r.rpc || r.path.startsWith('/') ? <a class="mono" href={address('routes', { q: r.path })}>{plain(r.path)}</a> : <span class="mono soft">no route</span>}</td>
            <td class="mono soft" title={r.rpc}>{methodOf(r.rpc) || '–'}</td>
            <td class="number">{count(r.n)}</td>
            <td class={r.f ? 'number bad' : 'number'}>{count(r.f)}</td>
            <td class="number">{duration(r.p99)}</td>
            <td><Spark values={r.counts} /></td>
          </tr>)}
        </Table> : <Empty>No request has come in the last quarter of an hour. Try one: <a href={address('routes')}>pick a route</a>.</Empty>}
      </Card>
      <Card title="Upstreams">
        {s.upstreams.length ? <ul class="facts">{s.upstreams.map(u => <li>
          <a href={address('upstreams')}>{u.name}</a> <span class="mono soft">{u.target}</span> <State name={u.state} why={u.why} />
        </li>)}</ul> : <Empty>There is none.</Empty>}
      </Card>
      <Card title="Warnings">
        {warnings.length ? <ul class="facts">{warnings.map(w => <li>{w}</li>)}</ul> : <Empty>Nothing to warn of.</Empty>}
      </Card>
    </div>
  </>
}
