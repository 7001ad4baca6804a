import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Refused } from './api'
import { plain } from './format'
import { status, who } from './state'

const moods: Record<string, string> = {
  READY: 'good', OK: 'good', running: 'good', paused: 'calm', waiting: 'calm', away: 'bad', closed: 'good', IDLE: 'calm', CONNECTING: 'calm', STANDBY: 'calm', DRAINING: 'warn',
  half_open: 'warn', closed_by_hand: 'warn', open: 'bad', open_by_hand: 'bad',
}

/** A state in words, with a dot whose shape and colour say it again. */
export const State = ({ name, why }: { name: string; why?: string }) =>
  <span class={'state ' + (moods[name] ?? 'bad')}>{name.toLowerCase().replaceAll('_', ' ')}{why && <span class="why">: {plain(why)}</span>}</span>

export const Title = ({ text, children, long }: { text: string; children?: ComponentChildren; long?: boolean }) => {
  useEffect(() => { document.title = text + ' · Transom' }, [text])
  return <div class={long ? 'title long' : 'title'}><h1>{plain(text)}</h1>{children}</div>
}

export const Card = ({ title, note, children, wide, id }: { title: string; note?: ComponentChildren; children: ComponentChildren; wide?: boolean; id?: string }) =>
  <section class={wide ? 'card wide' : 'card'} aria-label={title} id={id}>
    <header><h2>{title}</h2>{note && <span class="note">{note}</span>}</header>
    {children}
  </section>

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="empty">{children}</p>

/** A table that scrolls by itself where the screen is too narrow. */
export const Table = ({ label, head, children }: { label: string; head: string[]; children: ComponentChildren }) =>
  <div class="scroll" tabIndex={0} role="group" aria-label={label}>
    <table><thead><tr>{head.map(h => <th scope="col" class={h.startsWith('#') ? 'number' : ''}>{h.replace('#', '')}</th>)}</tr></thead><tbody>{children}</tbody></table>
  </div>

/** The id of a trace, which leads to where telemetry.trace_url says. */
export const Trace = ({ id }: { id: string }) => {
  const at = status.value?.trace_url
  return at && /^https?:/.test(at) ? <a class="mono" href={at.replaceAll('{trace_id}', encodeURIComponent(id))} target="_blank" rel="noopener noreferrer">{plain(id)}</a> : <code>{plain(id)}</code>
}

/** A dotted name, which may be broken behind its dots. */
export const Dotted = ({ name }: { name: string }) => <>{plain(name).split(/(?<=[.\/])/).map(part => <>{part}<wbr /></>)}</>

/** Over cleartext to another machine there is no clipboard but the old way. */
async function toClipboard(text: string) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const box = document.createElement('textarea'), had = document.activeElement as HTMLElement | null
  box.value = text
  document.body.append(box)
  box.select()
  const copied = document.execCommand('copy')
  box.remove()
  had?.focus()
  if (!copied) throw new Error('not copied')
}

export const Copy = ({ text, label }: { text: () => string; label: string }) => {
  const [said, setSaid] = useState('')
  const copy = async () => {
    try { await toClipboard(text()); setSaid('Copied') } catch { setSaid('The browser does not let this page copy') }
    setTimeout(() => setSaid(''), 1500)
  }
  return <button type="button" class="small" onClick={copy}><span aria-live="polite">{said || label}</span></button>
}

/** A page whose script is loaded when somebody goes there. */
export const later = (load: () => Promise<() => JSX.Element>) => {
  let there: (() => JSX.Element) | null = null
  return () => {
    const [, failure] = useLoad(async () => { there ??= await load(); return true }, [])
    const Page = there
    return Page ? <Page /> : <Empty>{failure || 'Loading…'}</Empty>
  }
}

/** A button for what needs the role operate. It says what came of it. */
export const Operate = ({ label, act, danger }: { label: string; act: () => Promise<unknown>; danger?: boolean }) => {
  const [failure, setFailure] = useState('')
  const [busy, setBusy] = useState(false)
  const allowed = who.value?.role === 'operate'
  const run = async () => {
    setBusy(true)
    setFailure('')
    try { await act() } catch (e) { setFailure(e instanceof Refused || e instanceof Error ? e.message : String(e)) }
    setBusy(false)
  }
  return <>
    <button type="button" class={danger ? 'small danger' : 'small'} disabled={busy || !allowed} onClick={run}
      title={allowed ? undefined : 'This needs a token with the role OPERATE.'}>{label}</button>
    {failure && <span class="bad" role="alert"> {failure}</span>}
  </>
}

/** A button for what cannot be taken back: it asks once more. */
export const Sure = ({ label, act }: { label: string; act: () => Promise<unknown> }) => {
  const [asked, setAsked] = useState(false)
  useEffect(() => {
    if (!asked) return
    const forget = setTimeout(() => setAsked(false), 5000)
    return () => clearTimeout(forget)
  }, [asked])
  const sure = async () => { try { if (asked) await act() } finally { setAsked(!asked) } } // one that failed is asked about again, too
  return <Operate label={asked ? `${label}: sure?` : label} danger act={sure} />
}

/** How much of something is used, in words and by a bar. */
export const Fill = ({ part, text }: { part: number; text: string }) =>
  <span class={part >= 1 ? 'fill bad' : part >= 0.8 ? 'fill warn' : 'fill'}><svg viewBox="0 0 60 8" preserveAspectRatio="none" aria-hidden="true"><rect width={60 * Math.min(1, part)} height="8" /></svg>{text}</span>

/** Loads something anew whenever what it depends on changes. */
export function useLoad<T>(load: () => Promise<T>, depends: unknown[]): [T | null, string] {
  const [value, setValue] = useState<T | null>(null)
  const [failure, setFailure] = useState('')
  useEffect(() => {
    let gone = false
    load().then(
      v => { if (!gone) { setValue(v); setFailure('') } },
      e => { if (!gone) { setValue(null); setFailure(e.message) } },
    )
    return () => { gone = true }
  }, depends)
  return [value, failure]
}
