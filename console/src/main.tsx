import { render } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import '@preact/signals'
import { placeOf, post } from './api'
import { moment, plain } from './format'
import { address, connect, connection, disconnect, place, status, who } from './state'
import { Guard } from './guard'
import { Empty, later, State } from './ui'
import { Events } from './pages/events'
import { Explain } from './pages/explain'
import { Live } from './pages/live'
import { Overview } from './pages/overview'
import { Policies } from './pages/policies'
import { Reloads } from './pages/reloads'
import { RoutePage } from './pages/route'
import { Routes } from './pages/routes'
import { Schema } from './pages/schema'
import { Upstreams } from './pages/upstreams'

/** The pages, with the key that follows g. */
const pages: { page: string; title: string; key: string; show: () => preact.JSX.Element }[] = [
  { page: 'overview', title: 'Overview', key: 'o', show: Overview },
  { page: 'routes', title: 'Routes', key: 'r', show: Routes },
  { page: 'explain', title: 'Explain', key: 'e', show: Explain },
  { page: 'try', title: 'Try', key: 't', show: later(() => import('./pages/try').then(m => m.Try)) },
  { page: 'upstreams', title: 'Upstreams', key: 'u', show: Upstreams },
  { page: 'policies', title: 'Policies', key: 'p', show: Policies },
  { page: 'live', title: 'Live', key: 'i', show: Live },
  { page: 'events', title: 'Events', key: 'v', show: Events },
  { page: 'reloads', title: 'Reloads', key: 'l', show: Reloads },
  { page: 'configuration', title: 'Configuration', key: 'c', show: later(() => import('./pages/configuration').then(m => m.Configuration)) },
  { page: 'schema', title: 'Schema', key: 's', show: Schema },
]

const Mark = () => <svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><path d="M1 13V8a7 7 0 0 1 14 0v5z" /><path class="bars" d="M8 1v12M1 13h14M8 9 3 4m5 5 5-5" /></svg>

function Banner() {
  const s = status.value
  if (!s?.failed_at) return null
  return <div class="banner" role="alert">
    <p><b>The configuration of {moment(s.failed_at)} was refused.</b> Generation {s.generation} is still in service. <a href={address('reloads')}>All reloads</a></p>
    <ul>{s.problems.slice(0, 5).map(p => <li>{p.file && <code>{plain(placeOf(p))}</code>} {plain(p.message)}</li>)}</ul>
    {s.problems.length > 5 && <p>and {s.problems.length - 5} more</p>}
  </div>
}

function Connection() {
  const now = connection.value
  if (now === 'live') return status.value?.ready ? <State name="READY" /> : <State name="NOT_READY" />
  return <span class="state calm">{now === 'lost' ? 'reconnecting…' : now === 'denied' ? 'signed out' : 'connecting…'}</span>
}

function SignIn() {
  const [failure, setFailure] = useState('')
  const submit = async (e: SubmitEvent) => {
    e.preventDefault()
    const token = new FormData(e.currentTarget as HTMLFormElement).get('token')
    try {
      await post('console/session', { token })
      connection.value = 'connecting'
      connect()
    } catch (e) { setFailure((e as Error).message) }
  }
  return <form class="card signin" onSubmit={submit}>
    <h1>Sign in</h1>
    <p class="soft">Paste one of <code>admin.tokens</code>. It becomes a cookie that ends in 12 hours; over cleartext, browsers keep it for this machine alone.</p>
    <label>Token <input type="password" name="token" required autocomplete="current-password" /></label>
    <p class="actions"><button class="main">Sign in</button></p>
    {failure && <p class="bad" role="alert">{failure}</p>}
  </form>
}

/** Takes the cookie away. Whoever has proved it otherwise is in at once again. */
async function signOut() {
  await post('console/session', undefined, 'DELETE')
  disconnect()
  connect()
}

function Help({ close }: { close: () => void }) {
  const box = useRef<HTMLDialogElement>(null)
  useEffect(() => { box.current?.showModal() }, [])
  return <dialog ref={box} onClose={close} aria-label="Keys">
    <h2>Keys</h2>
    <dl class="pairs"><dt><kbd>/</kbd></dt><dd>filter</dd>
      {pages.map(p => <><dt><kbd>g</kbd> <kbd>{p.key}</kbd></dt><dd>{p.title}</dd></>)}
      <dt><kbd>space</kbd></dt><dd>pause Live, and go on</dd>
      <dt><kbd>Enter</kbd></dt><dd>in a filter of routes: open the first</dd>
      <dt><kbd>Ctrl</kbd> <kbd>Enter</kbd></dt><dd>in Try: send</dd>
      <dt><kbd>?</kbd></dt><dd>this help</dd></dl>
    <form method="dialog"><button class="main">Close</button></form>
  </dialog>
}

/** The filter of a page, if it has one. */
const filterOf = (page: HTMLElement | null) => page?.querySelector<HTMLElement>('input[type=search]')

/** Keys work where nobody types a text. toFilter is set where the next page's filter is to have the focus. */
function useKeys(help: () => void, toFilter: { current: boolean }) {
  useLayoutEffect(() => {
    let went = 0
    const press = (e: KeyboardEvent) => {
      const at = e.target as HTMLElement
      if (e.ctrlKey || e.metaKey || e.altKey || at.closest('input, textarea, select, dialog')) return
      const page = Date.now() - went < 1500 && pages.find(p => p.key === e.key)
      went = e.key === 'g' ? Date.now() : 0
      if (page) location.hash = address(page.page)
      else if (e.key === '?') help()
      else if (e.key === '/') {
        const filter = filterOf(document.querySelector('main'))
        if (filter) filter.focus()
        else {
          toFilter.current = true
          location.hash = address('routes')
        }
      } else return
      e.preventDefault()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
}

function Main() {
  const { page } = place.value
  if (connection.value === 'denied') return <SignIn />
  if (!status.value) return <Empty>{connection.value === 'connecting' ? 'Connecting…' : 'The gateway does not answer. Trying again…'}</Empty>
  if (page === 'route') return <Guard key={place.value.query.toString()}><RoutePage /></Guard>
  const Page = pages.find(p => p.page === page)?.show
  return Page ? <Guard key={page}><Page /></Guard> : <Empty>There is no page of that name.</Empty>
}

function App() {
  const [help, setHelp] = useState(false)
  const main = useRef<HTMLElement>(null)
  const toFilter = useRef(false)
  useKeys(() => setHelp(true), toFilter)
  const { page, query } = place.value
  const first = useRef(true)
  useLayoutEffect(() => { // before anybody can be at another place, which it would take the focus from
    const filter = toFilter.current && filterOf(main.current)
    toFilter.current = false
    if (filter) filter.focus()
    else if (!first.current && !document.activeElement?.closest('dialog, main input')) main.current?.focus()
    first.current = false
    scrollTo(0, 0)
    document.querySelector('nav.pages [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }) // on a narrow screen it is a row that scrolls
  }, [page, query.get('rule')])
  const s = status.value
  return <>
    <a class="skip" href="#main" onClick={e => { e.preventDefault(); main.current?.focus() }}>Skip to the page</a>
    <header class="top">
      <a class="brand" href={address('overview')}><Mark />Transom</a>
      <span class="facts-line" role="status"><Connection />{s?.config_sum && <span title={'SHA-256 of the configuration: ' + s.config_sum}>config <code>{s.config_sum.slice(0, 8)}</code></span>}{s && <span>generation {s.generation}</span>}</span>
      <span class="me">{who.value && who.value.role !== 'nobody' && <span class="who">{who.value.who.startsWith('token') ? who.value.who.slice(6) : 'you'} may {who.value.role}</span>}
        {who.value?.who.startsWith('token ') && <button type="button" class="small" onClick={signOut}>Sign out</button>}
        <button type="button" class="small" onClick={() => setHelp(true)}>Keys <kbd>?</kbd></button></span>
    </header>
    <nav class="pages" aria-label="Pages"><ul>{pages.map(p => <li><a href={address(p.page)} aria-current={p.page === page || page === 'route' && p.page === 'routes' ? 'page' : undefined}>{p.title}</a></li>)}</ul></nav>
    <main id="main" tabIndex={-1} ref={main}><Banner /><Main /></main>
    {help && <Help close={() => setHelp(false)} />}
  </>
}

connect()
render(<App />, document.getElementById('app')!)
