import { Detail, exampleOf, get, OfRoute, ruleOf } from '../api'
import { useCalls } from '../calls'
import { Chart, latencyNote } from '../chart'
import { count, duration, plain, quoted, rate, shape } from '../format'
import { address, edition, history, place } from '../state'
import { Calls } from './live'
import { Card, Copy, Empty, Title, useLoad } from '../ui'

const access = ['auth', 'login', 'logout', 'cors', 'rate_limit', 'concurrency', 'validate']

/** What calls of the route there were, and those that end while somebody looks. */
function Traffic({ d }: { d: Detail }) {
  const rule = ruleOf(d)
  const filter = `route == ${JSON.stringify(d.path)} && rpc == ${JSON.stringify(d.rpc ?? '')}`
  const [of] = useLoad(() => get<OfRoute>('routes/history?rule=' + encodeURIComponent(rule)), [rule, history.value])
  const { calls, now, failure } = useCalls(filter, false, 20)
  const points = of?.points ?? [], step = of?.step ?? 5, times = points.map(p => p.t)
  return <>
    <Card title="Requests" note="per second">
      {points.length ? <Chart label="Requests per second" times={times} format={rate} series={[
        { name: 'all', mood: 'accent', area: true, values: points.map(p => p.n / step) },
        { name: 'refused', mood: 'warn', values: points.map(p => p.r / step) },
        { name: 'failed', mood: 'bad', values: points.map(p => p.f / step) },
      ]} /> : <Empty>None in the last quarter of an hour.</Empty>}
    </Card>
    <Card title="Latency" note={latencyNote}>
      {points.length && points.every(p => p.n === p.s) ? <Empty>Streams alone have ended, {count(points.reduce((n, p) => n + p.s, 0))} in the last quarter of an hour. How long they were open is no latency.</Empty> :
        points.length ? <Chart label="Latency" times={times} format={duration} series={[
        { name: 'p99', mood: 'warn', values: points.map(p => p.p99) },
        { name: 'p50', mood: 'accent', values: points.map(p => p.p50) },
      ]} /> : <Empty>None in the last quarter of an hour.</Empty>}
    </Card>
    <Card title="Recent calls" note={<>{now === 'live' ? 'since this page is open' : 'connecting…'} <a href={address('live', { filter })}>Live</a></>} wide>
      {failure ? <p class="bad">{failure}</p> : calls.length ? <Calls list={calls} /> : <Empty>No call has ended since this page is open.</Empty>}
    </Card>
  </>
}

export function RoutePage() {
  const rule = place.value.query.get('rule') ?? ''
  const [d, failure] = useLoad(() => get<Detail>('routes/detail?rule=' + encodeURIComponent(rule)), [rule, edition.value])
  if (failure) return <><Title text="Route" /><Empty>{/no such route/.test(failure) ? 'This route is not served, or not any more.' : failure} <a href={address('routes')}>All routes</a></Empty></>
  if (!d || ruleOf(d) !== rule) return <Title text={plain(rule) || 'Route'} />
  const example = exampleOf(d)
  const method = d.method === '*' ? 'GET' : d.method
  const decides = d.effects.filter(e => access.includes(e.policy))
  const open = !d.effects.some(e => e.policy === 'auth')
  return <>
    <Title text={ruleOf(d)} long>
      <p class="lead">
        {d.rpc && <span class="mono">{d.rpc}</span>}{d.stream && <span>{shape(d.stream)}</span>}
        {d.where && <span class="mono soft">{d.where}</span>}
      </p>
      <p class="actions">
        <a class="button main" href={address('try', { rule: ruleOf(d) })}>Try it</a>
        <a class="button" href={address('explain', { method: d.method === '*' ? 'GET' : d.method, url: example })}>Explain a request</a>
        <Copy label="Copy as transom explain" text={() => `transom explain ${method} ${quoted(example)}`} />
      </p>
    </Title>
    <div class="cards">
      <Card title="Who may call" note={open ? 'anybody' : undefined}>
        {decides.length || !open ? <dl class="pairs">{open && <><dt>auth</dt><dd>Nobody has to prove who they are.</dd></>}
          {decides.map(e => <><dt>{e.policy}</dt><dd>{e.summary || 'set'}{e.where && <small class="mono">{e.where}</small>}</dd></>)}</dl>
          : <Empty>Anybody may, as often as they like.</Empty>}
      </Card>
      <Card title="Where it goes">
        <dl class="pairs">
          {d.upstream && <><dt>upstream</dt><dd><a href={address('upstreams')}>{d.upstream}</a></dd></>}
          {d.answer && <><dt>answer</dt><dd>{d.answer}</dd></>}
          {d.variables?.length ? <><dt>variables</dt><dd class="mono">{d.variables.join(', ')}</dd></> : null}
          {d.request && <><dt>request</dt><dd><a class="mono" href={address('schema', { symbol: d.request })}>{d.request}</a></dd></>}
          {d.response && <><dt>response</dt><dd><a class="mono" href={address('schema', { symbol: d.response })}>{d.response}</a></dd></>}
        </dl>
      </Card>
      <Card title="Policies" note="in the order in which they hold" wide>
        {d.effects.length ? <ol class="steps">{d.effects.map(e => <li>
          <b>{e.policy}</b><span>{e.summary || 'set'}</span>{e.where && <small class="mono">{e.where}</small>}
        </li>)}</ol> : <Empty>None.</Empty>}
      </Card>
      <Traffic key={rule} d={d} />
      {d.others?.length ? <Card title="The same method elsewhere" wide>
        <ul class="facts">{d.others.map(o => <li><b class={'verb ' + o.method}>{o.method}</b> <a class="mono" href={address('route', { rule: ruleOf(o) })}>{o.path}</a></li>)}</ul>
      </Card> : null}
      {d.description && <Card title="Description" wide><pre tabIndex={0}>{plain(d.description.trim())}</pre></Card>}
    </div>
  </>
}
