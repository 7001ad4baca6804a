import { get, placeOf, Problem, Reload, post } from '../api'
import { duration, moment, plain, plural } from '../format'
import { edition, status } from '../state'
import { Card, Empty, Operate, Title, useLoad } from '../ui'

export const Problems = ({ list }: { list: Problem[] }) => <ul class="problems">{list.map(p => <li>
  {p.file && <code>{plain(placeOf(p))}</code>} <span>{plain(p.message)}</span>
</li>)}</ul>

const Changes = ({ sign, name, list, count }: { sign: string; name: string; list?: string[]; count: number }) =>
  count ? <><dt>{count} {name}</dt><dd class="diff">{list?.map(l => <code>{sign} {plain(l)}</code>)}{count > (list?.length ?? 0) && <small>and {count - (list?.length ?? 0)} more</small>}</dd></> : null

export function Reloads() {
  const s = status.value!
  const [answer, failure] = useLoad(() => get<{ reloads: Reload[] }>('reloads'), [edition.value, s.failed_at])
  return <>
    <Title text="Reloads"><p class="actions"><Operate label="Reload now" act={() => post('reload')} /></p></Title>
    {failure && <Empty>{failure}</Empty>}
    <div class="cards">{answer?.reloads.map((r, i) => <Card wide title={r.refused ? 'Refused' : `Generation ${r.generation}`}
      note={<>{moment(r.at)}, took {duration(r.took_ms)} {!r.refused && i === answer.reloads.findIndex(x => !x.refused) && <span class="state good">in service</span>}</>}>
      {r.refused && <p class="bad">Generation {r.generation} has stayed in service.</p>}
      {r.problems?.length ? <Problems list={r.problems} /> : null}
      <dl class="pairs">
        <Changes sign="+" name="added" list={r.added} count={r.counts[0]} />
        <Changes sign="−" name="removed" list={r.removed} count={r.counts[1]} />
        <Changes sign="~" name="changed" list={r.changed} count={r.counts[2]} />
      </dl>
      {!r.refused && !r.counts.some(Boolean) && <p class="soft">No route has changed.</p>}
      {r.config_sum && <p class="soft sum">Configuration <code>{r.config_sum.slice(0, 12)}</code></p>}
    </Card>)}</div>
    {answer && <p class="soft">{plural(answer.reloads.length, 'reload')} since the start; the last 50 are kept.</p>}
  </>
}
