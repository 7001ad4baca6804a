import { get } from '../api'
import { moment } from '../format'
import { status } from '../state'
import { Card, Empty, State, Table, Title, useLoad } from '../ui'

interface Sinks {
  sinks: { name: string; queue: number; lag: number; failure?: string; last_success?: string; refusal?: string }[]
  log?: { records: number; bytes: number; oldest?: string; failure?: string }
}

export function Events() {
  const s = status.value!
  const [sinks, failure] = useLoad(() => get<Sinks>('events/sinks'), [s.sinks.join('\n'), s.generation])
  return <>
    <Title text="Events" />
    <div class="cards">
      <Card title="Sinks" wide>
        {failure ? <Empty>No sink: {failure}.</Empty> : sinks?.sinks?.length ? <Table label="Sinks" head={['Sink', 'State', '#Queued', '#Behind', 'Last success']}>
          {sinks.sinks.map(x => <tr><td>{x.name}</td><td><State name={x.failure ? 'AWAY' : x.refusal ? 'REJECTS' : 'OK'} why={x.failure ?? x.refusal} /></td>
            <td class="number">{x.queue}</td><td class="number">{x.lag}</td><td>{x.last_success ? moment(x.last_success) : '–'}</td></tr>)}
        </Table> : <Empty>Nothing is published: the configuration has no sink of events.</Empty>}
      </Card>
      {sinks?.log && <Card title="Log">
        <dl class="pairs"><dt>records</dt><dd>{sinks.log.records.toLocaleString('en')}</dd><dt>bytes</dt><dd>{sinks.log.bytes.toLocaleString('en')}</dd>
          {sinks.log.oldest && <><dt>oldest</dt><dd>{moment(sinks.log.oldest)}</dd></>}{sinks.log.failure && <><dt>failure</dt><dd class="bad">{sinks.log.failure}</dd></>}</dl>
      </Card>}
      <Card title="Subscriptions" wide>
        {s.subscriptions.length ? <ul class="facts">{s.subscriptions.map(x => <li>{x}</li>)}</ul> : <Empty>There is none.</Empty>}
      </Card>
    </div>
  </>
}
