import { batch, computed, signal } from '@preact/signals'
import { get, History, Refused, Route, Status, Who } from './api'

export const status = signal<Status | null>(null)
export const history = signal<History | null>(null)
export const who = signal<Who | null>(null)
export const routes = signal<Route[] | null>(null)
/** Names what is in service: it is another after a reload, and after a restart, whose generations begin anew. */
export const edition = computed(() => [status.value?.started, status.value?.generation, status.value?.config_sum].join(' '))
/** lost: there was a connection, and another one is tried. */
export const connection = signal<'connecting' | 'live' | 'lost' | 'denied'>('connecting')

/** What stands behind the # of the address: a page and what it is about. */
export const place = signal(read())

function read() {
  const [, page, query] = /^#?\/?([^?]*)\??(.*)$/s.exec(location.hash)!
  return { page: page || 'overview', query: new URLSearchParams(query) }
}
addEventListener('hashchange', () => { place.value = read() })

export function address(page: string, query: Record<string, string> = {}): string {
  const text = new URLSearchParams(query).toString()
  return '#/' + page + (text && '?' + text)
}

/** Changes what the page is about without a step of the browser's history. */
export function refine(page: string, query: Record<string, string>) {
  window.history.replaceState(null, '', address(page, query))
}

let source: EventSource | null = null
let again = 0
let quiet = 0
const silence = 20_000 // ms without a word of a gateway that tells something each 5 s
let shown = '' // the edition whose routes are there

/** Opens the one stream that a page has: all of the state first, then what changes. */
export function connect() {
  clearTimeout(again)
  source?.close()
  source = new EventSource('stream')
  hear()
  source.addEventListener('who', e => { hear(); who.value = JSON.parse(e.data); connection.value = 'live' })
  source.addEventListener('status', e => {
    hear()
    const now: Status = JSON.parse(e.data)
    batch(() => { status.value = now; connection.value = 'live' })
    if (edition.value !== shown) {
      shown = edition.value
      void loadRoutes()
    }
  })
  source.addEventListener('history', e => { hear(); history.value = JSON.parse(e.data) })
  source.onerror = lose
}

/** Goes on waiting. A gateway that hangs keeps its connections and says nothing. */
function hear() {
  clearTimeout(quiet)
  quiet = window.setTimeout(lose, silence)
}

function lose() {
  clearTimeout(quiet)
  source?.close()
  source = null
  if (connection.value === 'live') connection.value = 'lost'
  void diagnose()
}

/** Asks whether it is a token that is missing, and tries again else. */
async function diagnose() {
  try {
    const me = await get<Who>('console/session')
    if (me.role === 'nobody') {
      batch(() => { who.value = me; connection.value = 'denied' })
      return
    }
  } catch { /* the gateway is away: it is tried again */ }
  clearTimeout(again)
  again = window.setTimeout(connect, 1000)
}

/** Forgets what this page was told. */
export function disconnect() {
  clearTimeout(quiet)
  source?.close()
  batch(() => { connection.value = 'connecting'; status.value = null; history.value = null; routes.value = null; who.value = null })
  shown = ''
}

async function loadRoutes() {
  try {
    routes.value = (await get<{ routes: Route[] }>('routes')).routes
  } catch (e) {
    if (!(e instanceof Refused)) shown = '' // the next status asks again
  }
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    clearTimeout(again)
    clearTimeout(quiet)
    source?.close()
    source = null
  } else if (connection.value !== 'denied') connect()
})
