import { useState } from 'preact/hooks'
import { plain } from '../format'
import type { Field, Fields, Json, Message } from './request'

const numbers = /^(u?int32|sint32|s?fixed32|float|double)$/
const texts: Record<string, string> = {
  'google.protobuf.Timestamp': '2026-01-31T12:00:00Z', 'google.protobuf.Duration': '1.5s', 'google.protobuf.FieldMask': 'title,pages',
  'google.protobuf.StringValue': 'text', 'google.protobuf.BytesValue': 'base64', 'google.protobuf.Int64Value': '0', 'google.protobuf.UInt64Value': '0',
}
const numberTexts = /^google\.protobuf\.(Int32|UInt32|Float|Double)Value$/
const opens = /^google\.protobuf\.(Struct|Value|ListValue|Any)$/

interface Editor { field: Field; fields: Fields; value: Json | undefined; set: (value: Json | undefined) => void; label: string; depth: number }

/** A text that stands for JSON, as long as it is some. */
function JSONBox({ value, set, label, hint }: { value: Json | undefined; set: (v: Json | undefined) => void; label: string; hint: string }) {
  const [text, setText] = useState(value === undefined ? '' : JSON.stringify(value))
  const [bad, setBad] = useState(false)
  return <textarea class="mono" rows={2} aria-label={label} aria-invalid={bad} value={text} placeholder={hint} onInput={e => {
    const now = e.currentTarget.value
    setText(now)
    try { set(now.trim() ? JSON.parse(now) : undefined); setBad(false) } catch { setBad(true) }
  }} />
}

async function base64Of(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer())
  let text = ''
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000))
  return btoa(text)
}

function Bytes({ value, set, label }: Editor) {
  const [failure, setFailure] = useState('')
  return <span class="bytes">
    <input class="mono" aria-label={label} placeholder="base64, or a file" value={value === undefined ? '' : String(value)} onInput={e => set(e.currentTarget.value || undefined)} />
    <input type="file" aria-label={label + ' from a file'} onChange={async e => {
      const file = e.currentTarget.files?.[0]
      if (!file) return
      if (file.size > 3 << 20) { setFailure('found a file of more than 3 MiB, expected less'); return }
      setFailure('')
      set(await base64Of(file))
    }} />
    {failure && <small class="bad" role="alert">{failure}</small>}
  </span>
}

/** An editor of one value, which is no list and no map. */
function One(p: Editor) {
  const { field, value, set, label } = p
  const text = value === undefined || value === null ? '' : String(value)
  if (field.type === 'bool' || field.type === 'google.protobuf.BoolValue')
    return <select aria-label={label} value={text} onChange={e => set(e.currentTarget.value ? e.currentTarget.value === 'true' : undefined)}><option value="">not set</option><option>true</option><option>false</option></select>
  if (field.kind === 'enum')
    return <select aria-label={label} value={text} onChange={e => set(e.currentTarget.value || undefined)}><option value="">not set</option>{field.enum?.map(v => <option>{v}</option>)}</select>
  if (field.type === 'bytes') return <Bytes {...p} />
  if (opens.test(field.type)) return <JSONBox value={value} set={set} label={label} hint={field.type.endsWith('Any') ? '{"@type": "type.googleapis.com/…"}' : 'JSON'} />
  if (field.kind === 'message' && !texts[field.type] && !numberTexts.test(field.type)) return <Inner {...p} />
  const number = numbers.test(field.type) || numberTexts.test(field.type)
  return <input class={field.sensitive ? 'mono secret' : 'mono'} autocomplete="off" aria-label={label} value={text} placeholder={texts[field.type] ?? ''} inputMode={number ? 'decimal' : undefined} onInput={e => {
    const now = e.currentTarget.value
    set(now === '' ? undefined : number && now.trim() !== '' && isFinite(Number(now)) && !/[.e]$/i.test(now) ? Number(now) : now)
  }} />
}

/** A message within: its fields are there when it is opened, as messages may hold themselves. */
function Inner({ field, fields, value, set, label, depth }: Editor) {
  const [open, setOpen] = useState(value !== undefined && depth < 3)
  const known = fields[field.type]
  if (!known) return <JSONBox value={value} set={set} label={label} hint="{ }" />
  return <details open={open} onToggle={e => setOpen(e.currentTarget.open)}>
    <summary>{field.type.slice(field.type.lastIndexOf('.') + 1)}{value === undefined && <span class="soft"> not set</span>}</summary>
    {open && <Form type={field.type} fields={fields} value={(value ?? {}) as Message} set={m => set(Object.keys(m).length ? m : undefined)} within={label + ' '} depth={depth + 1} />}
  </details>
}

function List(p: Editor) {
  const list = Array.isArray(p.value) ? p.value : []
  const put = (i: number, v: Json | undefined) => p.set(list.map((x, j) => j === i ? v ?? blank(p.field) : x))
  return <span class="list">
    {list.map((v, i) => <span class="item"><One {...p} value={v} set={x => put(i, x)} label={`${p.label} ${i + 1}`} />
      <button type="button" class="small" aria-label={`Remove ${p.label} ${i + 1}`} onClick={() => { const rest = list.filter((_, j) => j !== i); p.set(rest.length ? rest : undefined) }}>✕</button></span>)}
    <button type="button" class="small" aria-label={'Add to ' + p.label} onClick={() => p.set([...list, blank(p.field)])}>Add</button>
  </span>
}

const keyHint: Record<string, string> = { bool: 'true or false', string: 'key' }

/** A map as rows. A key that two rows have is the last one's. */
function Pairs(p: Editor) {
  const of = p.value && typeof p.value === 'object' && !Array.isArray(p.value) ? p.value : {}
  const [rows, setRows] = useState<[string, Json | undefined][]>(() => Object.entries(of))
  const made = (list: typeof rows) => Object.fromEntries(list.filter(([k]) => k !== '' || p.field.key === 'string').map(([k, v]) => [k, v ?? blank(p.field)]))
  // What came another way, such as the text of JSON, takes the place of the rows.
  const list = JSON.stringify(made(rows)) === JSON.stringify(of) ? rows : Object.entries(of)
  const change = (next: typeof rows) => { setRows(next); p.set(next.length ? made(next) : undefined) }
  const twice = (k: string, i: number) => list.some(([other], j) => other === k && j > i)
  return <span class="list">
    {list.map(([k, v], i) => <span class="pair">
      <input class="mono" aria-label={`${p.label} key ${i + 1}`} aria-invalid={twice(k, i)} value={k} placeholder={keyHint[p.field.key!] ?? '0'} onInput={e => change(list.map((row, j) => j === i ? [e.currentTarget.value, row[1]] : row))} />
      <One {...p} field={{ ...p.field, key: undefined }} value={v} set={x => change(list.map((row, j) => j === i ? [row[0], x] : row))} label={`${p.label} value ${i + 1}`} />
      <button type="button" class="small" aria-label={`Remove ${p.label} ${i + 1}`} onClick={() => change(list.filter((_, j) => j !== i))}>✕</button>
      {twice(k, i) && <small class="bad">A row below has the same key, which counts.</small>}
    </span>)}
    <button type="button" class="small" aria-label={'Add to ' + p.label} onClick={() => change([...list, ['', blank(p.field)]])}>Add</button>
  </span>
}

/** What a new element is at first. */
const blank = (f: Field): Json => f.kind === 'message' ? {} : f.kind === 'enum' ? f.enum![0] : f.type === 'bool' ? false : numbers.test(f.type) ? 0 : ''

const shortType = (f: Field) => f.key ? `map<${f.key}, ${f.type.slice(f.type.lastIndexOf('.') + 1)}>` : (f.repeated ? 'repeated ' : '') + f.type.slice(f.type.lastIndexOf('.') + 1)

/** A form for a message, by its fields. */
export function Form({ type, fields, value, set, within = '', depth = 0 }: { type: string; fields: Fields; value: Message; set: (m: Message) => void; within?: string; depth?: number }) {
  const list = fields[type] ?? []
  if (!list.length) return <p class="soft">The message has no fields.</p>
  return <div class="form">{list.map(f => {
    const put = (v: Json | undefined) => {
      const now = { ...value }
      if (v === undefined) delete now[f.name]
      else {
        if (f.oneof) for (const other of list) if (other.oneof === f.oneof) delete now[other.name]
        now[f.name] = v
      }
      set(now)
    }
    const p: Editor = { field: f, fields, value: value[f.name] ?? undefined, set: put, label: within + f.name, depth }
    return <div class="field">
      <span class="about"><b>{f.name}</b> <small class="mono">{shortType(f)}</small>{f.oneof && <small>one of {f.oneof}</small>}{f.sensitive && <small>sensitive</small>}</span>
      <span class="entry">{f.key ? <Pairs {...p} /> : f.repeated ? <List {...p} /> : <One {...p} />}
        {f.rules?.length ? <small class="rules">{f.rules.map(r => <span>{plain(r)}</span>)}</small> : null}
        {f.comment && <small>{plain(f.comment.split(/\n\s*\n/)[0])}</small>}</span>
    </div>
  })}</div>
}
