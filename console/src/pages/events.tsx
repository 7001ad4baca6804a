import { useState } from 'preact/hooks'
import { get, post } from '../api'
import { count, moment, plain, plural, size } from '../format'
import { edition, history, status, who } from '../state'
import { Card, Empty, Operate, State, Sure, Table, Title, useLoad } from '../ui'

interface Sinks {
  sinks: { name: string; queue: number; lag: number; failure?: string; last_success?: string; refusal?: string }[]
  log?: { records: number; bytes: number; oldest?: string; failure?: string }
}
interface Group {
  name: string; source: string; topic: string; method: string; state: string; in_flight: number; dead: number; failure?: string
  last_commit?: string; lag_failure?: string; partitions: { partition: number; lag: number; lag_seconds: number }[]
}
interface Rejected { sink: string; id: string; at: string; reason: string; topic: string; key?: string; event: unknown }
interface Dead { id: string; at: string; code: string; message?: string; reason?: string; attempts: number; method: string; topic: string; partition: number; offset: number; event: unknown }

/** How many events a list shows; the first of them give way to others. */
const most = 100

/** One that is put aside, with what it is and what can be done. */
const Aside = ({ id, at, about, why, event, act }: { id: string; at: string; about: string; why: string; event: unknown; act: (verb: string) => Promise<unknown> }) => <li>
  <details>
    <summary><time class="soft">{moment(at)}</time> <span class="mono">{plain(about)}</span> <span class="bad">{plain(why)}</span></summary>
    <p class="soft">id <code>{plain(id)}</code></p>
    <pre tabIndex={0}>{plain(JSON.stringify(event, null, 2))}</pre>
  </details>
  <span class="actions"><Operate label="Try again" act={() => act('retry')} /> <Sure label="Drop" act={() => act('drop')} /></span>
</li>

const OnlyOperators = () => <Empty>Events may hold what only those with the role OPERATE may see.</Empty>

function RejectedEvents({ again }: { again: () => void }) {
  const [done, setDone] = useState(0)
  const allowed = who.value?.role === 'operate'
  const [answer, failure] = useLoad(async () => allowed ? get<{ rejected: Rejected[] }>('events/rejected') : null, [allowed, done, history.value])
  const act = (r: Rejected) => async (verb: string) => {
    await post(`events/rejected/${encodeURIComponent(r.sink)}/${encodeURIComponent(r.id)}/${verb}`)
    setDone(done + 1)
    again()
  }
  const list = answer?.rejected ?? []
  return <Card title="Rejected events" note={list.length ? plural(list.length, 'event') : undefined} wide>
    {!allowed ? <OnlyOperators /> : failure ? <Empty>{failure}</Empty> : list.length ? <ol class="aside">{list.slice(0, most).map(r =>
      <Aside key={r.sink + ' ' + r.id} id={r.id} at={r.at} about={`${r.sink}: ${r.topic}${r.key ? ' ' + r.key : ''}`} why={r.reason} event={r.event} act={act(r)} />)}</ol> : <Empty>No sink has refused an event for good.</Empty>}
    {list.length > most && <p class="soft">and {list.length - most} more</p>}
  </Card>
}

function DeadLetters({ name, count, again }: { name: string; count: number; again: () => void }) {
  const [done, setDone] = useState(0)
  const allowed = who.value?.role === 'operate'
  const [answer, failure] = useLoad(async () => allowed ? get<{ dead: Dead[] }>('events/dead/' + encodeURIComponent(name)) : null, [allowed, name, done, count])
  const act = (d: Dead) => async (verb: string) => {
    await post(`events/dead/${encodeURIComponent(name)}/${encodeURIComponent(d.id)}/${verb}`)
    setDone(done + 1)
    again()
  }
  const list = answer?.dead ?? []
  return <Card title={'Dead letters of ' + name} note={plural(count, 'event')} wide>
    {!allowed ? <OnlyOperators /> : failure ? <Empty>{failure}</Empty> : <ol class="aside">{list.slice(0, most).map(d =>
      <Aside key={d.id} id={d.id} at={d.at} about={`${d.topic}/${d.partition}@${d.offset}`} why={[d.code, d.message, d.reason, plural(d.attempts, 'attempt')].filter(Boolean).join(', ')} event={d.event} act={act(d)} />)}</ol>}
    {list.length > most && <p class="soft">and more: <code>transom events dead {name}</code> lists all</p>}
  </Card>
}

/** Has a subscription go on at another place of its topic. */
function Seek({ group, again }: { group: Group; again: () => void }) {
  const [to, setTo] = useState('')
  const [partition, setPartition] = useState('0')
  const [moved, setMoved] = useState('')
  const seek = async () => {
    setMoved('')
    await post(`events/groups/${encodeURIComponent(group.name)}/seek?${new URLSearchParams({ to, partition })}`)
    setMoved(to)
    again()
  }
  return <details class="seek"><summary>Seek</summary>
    <label>Go on at <input class="mono" value={to} autocomplete="off" placeholder="earliest, latest, 1200 or 2026-01-31T12:00:00Z" onInput={e => setTo(e.currentTarget.value.trim())} /></label>
    {/^\d+$/.test(to) && group.partitions.length > 1 && <label>of partition <select value={partition} onChange={e => setPartition(e.currentTarget.value)}>
      {group.partitions.map(p => <option>{p.partition}</option>)}</select></label>}
    <span class="actions"><Sure label="Seek" act={seek} />{moved && <span class="soft" role="status">goes on at {moved}</span>}</span>
  </details>
}

function Subscriptions({ list, again }: { list: Group[]; again: () => void }) {
  const act = (g: Group, verb: string) => async () => { await post(`events/groups/${encodeURIComponent(g.name)}/${verb}`); again() }
  return <Table label="Subscriptions" head={['Subscription', 'Topic', 'Method', 'State', '#Behind', '#In flight', '#Dead', 'By hand']}>{list.map(g => <tr>
    <td>{g.name}</td><td class="mono">{g.source}: {g.topic}</td><td class="mono">{g.method}</td>
    <td><State name={g.state} why={g.failure && plain(g.failure)} /></td>
    <td class="number" title={g.lag_failure}>{g.lag_failure ? '?' : count(g.partitions.reduce((n, p) => n + p.lag, 0))}</td>
    <td class="number">{g.in_flight}</td><td class={g.dead ? 'number bad' : 'number'}>{g.dead}</td>
    <td>{g.state === 'paused' ? <Operate label="Resume" act={act(g, 'resume')} /> : <Operate label="Pause" danger act={act(g, 'pause')} />} <Seek group={g} again={again} /></td>
  </tr>)}</Table>
}

export function Events() {
  const s = status.value!
  const [done, setDone] = useState(0)
  const again = () => setDone(n => n + 1)
  const [sinks, failure] = useLoad(async () => s.sinks.length ? get<Sinks>('events/sinks') : null, [s.sinks.join('\n'), edition.value, done, history.value])
  const [groups, noGroups] = useLoad(async () => s.subscriptions.length ? get<{ groups: Group[] }>('events/groups') : null, [s.subscriptions.join('\n'), edition.value, done, history.value])
  return <>
    <Title text="Events" />
    <div class="cards">
      <Card title="Sinks" wide>
        {failure ? <Empty>{failure}</Empty> : sinks?.sinks?.length ? <Table label="Sinks" head={['Sink', 'State', '#Queued', '#Behind', 'Last success']}>
          {sinks.sinks.map(x => <tr><td>{x.name}</td><td><State name={x.failure ? 'AWAY' : x.refusal ? 'REJECTS' : 'OK'} why={x.failure ?? x.refusal} /></td>
            <td class="number">{x.queue}</td><td class="number">{x.lag}</td><td>{x.last_success ? moment(x.last_success) : '–'}</td></tr>)}
        </Table> : s.sinks.length ? <Empty>Loading…</Empty> : <Empty>Nothing is published: the configuration has no sink of events.</Empty>}
      </Card>
      {sinks?.log && <Card title="Log">
        <dl class="pairs"><dt>records</dt><dd>{count(sinks.log.records)}</dd><dt>on disk</dt><dd>{size(sinks.log.bytes)}</dd>
          {sinks.log.oldest && <><dt>oldest</dt><dd>{moment(sinks.log.oldest)}</dd></>}{sinks.log.failure && <><dt>failure</dt><dd class="bad">{sinks.log.failure}</dd></>}</dl>
      </Card>}
      {!failure && sinks?.sinks?.length ? <RejectedEvents again={again} /> : null}
      <Card title="Subscriptions" wide>
        {!s.subscriptions.length ? <Empty>The configuration has none.</Empty> : noGroups ? <Empty>{noGroups}</Empty> : groups ? <Subscriptions list={groups.groups} again={again} /> : <Empty>Loading…</Empty>}
      </Card>
      {groups?.groups.filter(g => g.dead).map(g => <DeadLetters key={g.name} name={g.name} count={g.dead} again={again} />)}
    </div>
  </>
}
