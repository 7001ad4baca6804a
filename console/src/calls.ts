import { useEffect, useRef, useState } from 'preact/hooks'
import { Call, Refused, told } from './api'

/** How often a page shows what has come, in ms. */
const step = 200

export type Seen = Call & { n: number }

/** Calls as they end, the latest first, that a filter takes; the gateway filters. A page that nobody sees asks for none. */
export function useCalls(filter: string, paused: boolean, kept: number, messages = false) {
  const [hidden, setHidden] = useState(document.hidden)
  const [calls, setCalls] = useState<Seen[]>([])
  const [more, setMore] = useState({ dropped: 0, missed: 0 })
  const [now, setNow] = useState<'connecting' | 'live' | 'lost'>('connecting')
  const [failure, setFailure] = useState('')
  const n = useRef(0)
  const clear = () => { setCalls([]); setMore({ dropped: 0, missed: 0 }) }

  useEffect(() => {
    const look = () => setHidden(document.hidden)
    document.addEventListener('visibilitychange', look)
    return () => document.removeEventListener('visibilitychange', look)
  }, [])

  useEffect(() => { clear(); setFailure('') }, [filter, messages])

  useEffect(() => {
    if (paused || hidden) return
    const stop = new AbortController()
    let again = 0, due = 0, fresh: Seen[] = [], dropped = 0, missed = 0
    const show = () => {
      due = 0
      const came = fresh.reverse(), d = dropped, m = missed
      fresh = []
      dropped = missed = 0
      setCalls(before => came.concat(before).slice(0, kept))
      if (d + m) setMore(before => ({ dropped: before.dropped + d, missed: before.missed + m }))
    }
    const watch = async () => {
      setNow('connecting')
      try {
        await told('live?filter=' + encodeURIComponent(filter) + (messages ? '&messages=true' : ''), stop.signal, () => { setNow('live'); setFailure('') }, (event, data) => {
          const body = JSON.parse(data)
          if (event === 'call') {
            fresh.push({ ...body, n: n.current++ })
            if (fresh.length > kept) fresh.shift()
          } else {
            dropped += body.dropped
            missed += body.missed
          }
          due ||= window.setTimeout(show, step)
        })
      } catch (e) {
        if (stop.signal.aborted) return
        if (e instanceof Refused) setFailure(e.message)
        if (e instanceof Refused && e.status === 400) return // the same filter is as wrong the next time
      }
      if (stop.signal.aborted) return
      setNow('lost')
      again = window.setTimeout(watch, 1000)
    }
    void watch()
    return () => { stop.abort(); clearTimeout(again); clearTimeout(due) }
  }, [filter, paused, hidden, messages])
  return { calls, more, now, failure, clear }
}
