import { useMemo, useState } from 'preact/hooks'
import { get } from '../api'
import { plain, plural } from '../format'
import { address, edition, place } from '../state'
import { Card, Dotted, Empty, Title, useLoad } from '../ui'

const most = 300

export function Schema() {
  const symbol = place.value.query.get('symbol') ?? ''
  const [words, setWords] = useState('')
  const generation = edition.value
  const [list] = useLoad(() => get<{ symbols: string[] }>('describe'), [generation])
  const [found, failure] = useLoad(async () => symbol ? get<{ text: string }>('describe?symbol=' + encodeURIComponent(symbol)) : null, [symbol, generation])
  const shown = useMemo(() => {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean)
    return (list?.symbols ?? []).filter(s => wanted.every(w => s.toLowerCase().includes(w)))
  }, [list, words])
  return <>
    <Title text="Schema">
      <label class="filter">Filter <input type="search" value={words} placeholder="service, method, message or enum" onInput={e => setWords(e.currentTarget.value)} /></label>
    </Title>
    <div class="beside">
      <nav class="card names" aria-label="Symbols" tabIndex={0}>
        <p class="soft" role="status">{plural(shown.length, 'name')}</p>
        <ul>{shown.slice(0, most).map(s => <li><a class="mono" href={address('schema', { symbol: s })} aria-current={s === symbol ? 'true' : undefined}><Dotted name={s} /></a></li>)}</ul>
        {shown.length > most && <p class="soft">The first {most} are shown: filter for others.</p>}
      </nav>
      <Card title={plain(symbol) || 'Pick a name'}>
        {failure ? <p class="bad">{failure}</p> : found ? <pre tabIndex={0}>{plain(found.text.trim())}</pre> : <Empty>Services, methods, messages and enums with their comments, as <code>transom describe</code> prints them.</Empty>}
      </Card>
    </div>
  </>
}
