import { signal } from '@preact/signals'
import { publicHeaders, publicMessage, publicPath, Wanted } from './request'

/** A call that was made, without its secrets. */
export interface Entry { at: number; rule: string; wanted: Wanted; result: string }

const key = 'transom-try', most = 50

/** What an older console has kept may be another thing. */
const isEntry = (e: Entry | null) => typeof e?.at === 'number' && typeof e.rule === 'string' && typeof e.result === 'string' &&
  (['protocol', 'path', 'method', 'message', 'headers', 'timeout'] as const).every(k => typeof e.wanted?.[k] === 'string')

function stored(): Entry[] | null {
  try {
    const list = JSON.parse(sessionStorage.getItem(key) ?? 'null')
    return Array.isArray(list) ? list.filter(isEntry) : null
  } catch { return null }
}

/** The calls of this tab, the newest first; null where none are kept, as it is at first. */
export const history = signal<Entry[] | null>(stored())

function put(list: Entry[] | null) {
  history.value = list
  try {
    if (list) sessionStorage.setItem(key, JSON.stringify(list))
    else sessionStorage.removeItem(key)
  } catch { history.value = list && list.slice(0, 1) } // there is no room for more
}

export const keep = (on: boolean) => put(on ? [] : null)

export function note(rule: string, w: Wanted, result: string) {
  if (!history.value) return
  const wanted = { ...w, headers: publicHeaders(w.headers, true), message: publicMessage(w.message), path: publicPath(w.path) }
  put([{ at: Date.now(), rule, wanted, result }, ...history.value].slice(0, most))
}
