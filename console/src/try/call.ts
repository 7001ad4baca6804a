import { Refused } from '../api'
import type { Sent } from './request'

/** Something that happened to a call, as the gateway tells it. */
export interface Event {
  event: 'open' | 'sent' | 'head' | 'message' | 'trailer' | 'end'; at_ms: number; id?: string; trace_id?: string
  n?: number; bytes?: number; kind?: string; text?: string; base64?: string; cut?: boolean
  status?: number; http?: string; fields?: [string, string][]
  code?: string; message?: string; details?: { [name: string]: unknown }[]; failure?: string; close?: number
}

/** What is asked for. */
export interface Asked {
  protocol: string; method: string; url: string; stream?: string; headers: string[]; timeout?: string; messages: Sent[]; open: boolean
}

/** Makes a call and tells its events, until it has ended. Aborting it cancels the call. */
export async function run(asked: Asked, tell: (e: Event) => void, signal: AbortSignal) {
  const answer = await fetch('../try', { method: 'POST', body: JSON.stringify(asked), signal })
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim())
  const text = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  for (let rest = ''; ;) {
    const { value, done } = await text.read()
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop()!
    for (const line of lines) if (line) tell(JSON.parse(line))
  }
}
