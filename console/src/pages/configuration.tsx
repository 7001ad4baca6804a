import { useState } from 'preact/hooks'
import { get, getText, post } from '../api'
import { plain, plural } from '../format'
import { edition } from '../state'
import { Copy, Empty, Operate, Title, useLoad } from '../ui'

interface Line { text: string; where: string }

/** How much is logged, until the process ends or it is told otherwise. */
function Logging() {
  const [set, setSet] = useState(0)
  const [level, failure] = useLoad(async () => (await getText('log/level')).trim(), [set])
  return <p class="actions"><span class="soft">Log level, until the process ends:</span> {failure || <b>{level ?? '…'}</b>}{['DEBUG', 'INFO', 'WARN', 'ERROR'].filter(l => level && l !== level).map(l =>
    <Operate key={l} label={l} act={async () => { await post('log/level?level=' + l); setSet(set + 1) }} />)}</p>
}

/** How far from the left stands what does not fit on a line, in characters. */
const depth = (text: string) => text.length - text.trimStart().length + 2

/** How many lines are shown at once. */
const most = 2000

/** What is in effect, each line with where it comes from. */
export function Configuration() {
  const [answer, failure] = useLoad(() => get<{ lines: Line[] }>('config'), [edition.value])
  const [words, setWords] = useState('')
  const all = answer?.lines ?? []
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean)
  const list = all.filter(l => wanted.every(w => (l.text + ' ' + l.where).toLowerCase().includes(w)))
  return <>
    <Title text="Configuration"><p class="actions">
      <label class="filter">Filter <input type="search" value={words} placeholder="a name, a value or a place" onInput={e => setWords(e.currentTarget.value)} /></label>
      <Copy label="Copy as YAML" text={() => all.map(l => l.text).join('\n') + '\n'} /></p></Title>
    <p class="lead" role="status">{failure || (!answer ? 'Loading…' : list.length === all.length ? plural(all.length, 'line') : `${list.length} of ${plural(all.length, 'line')}`)}</p>
    <p class="soft">What is in effect: variables and defaults are filled in, what the command line says is in it, and secrets are masked. Policies in protos are on the page of each route.</p>
    <Logging />
    {answer && (list.length ? <ol class="lines" aria-label="Configuration">{list.slice(0, most).map(l => <li><code style={{ paddingLeft: depth(l.text) + 'ch', textIndent: -depth(l.text) + 'ch' }}>{plain(l.text)}</code><small class="mono" title={l.where}>{l.where.replace(/^.*\//, '').replace(/:\d+$/, '')}</small></li>)}</ol> :
      <Empty>{all.length ? 'No line has that.' : 'There is no configuration yet.'}</Empty>)}
    {list.length > most && <p class="soft">and {list.length - most} more: filter them, or copy all.</p>}
  </>
}
