/** A whole number with its thousands apart. The first number that Intl writes would take 10 ms. */
export const count = (n: number) => String(n).replace(/\B(?=(\d{3})+$)/g, ',')

export const plural = (n: number, thing: string) => `${count(n)} ${thing}${n === 1 ? '' : 's'}`

export function duration(ms: number): string {
  if (ms < 0) return '–'
  if (ms > 0 && ms < 0.05) return '< 0.1 ms'
  if (ms < 10) return ms.toFixed(1) + ' ms'
  if (ms < 1000) return Math.round(ms) + ' ms'
  if (ms < 10_000) return (ms / 1000).toFixed(1) + ' s'
  if (ms < 60_000) return Math.round(ms / 1000) + ' s'
  return span(ms)
}

export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 60) return s + ' s'
  if (s < 3600) return Math.floor(s / 60) + ' min'
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`
}

export const rate = (n: number) => n >= 100 ? count(Math.round(n)) : String(+n.toFixed(n >= 10 ? 1 : 2))

/** JSON with a line for each member; another text as it is. */
export const pretty = (text: string) => { try { return JSON.stringify(JSON.parse(text), null, 2) } catch { return text } }

/** The shape of a method, such as "server streaming". */
export const shape = (stream?: string) => stream?.replaceAll('_', ' ') ?? ''

/** The last part of the name of an RPC. */
export const methodOf = (rpc?: string) => rpc?.replace(/^.*\//, '') ?? ''

export const size = (n = 0) => n < 1024 ? n + ' B' : n < 1 << 20 ? (n / 1024).toFixed(1) + ' KiB' : (n / (1 << 20)).toFixed(1) + ' MiB'

export const clock = (t: string | number) => new Date(t).toLocaleTimeString('en-GB')

/** The time of day that a text of RFC 3339 says, where the reader is, with its milliseconds. */
export const instant = (t: string) => {
  const d = new Date(t), two = (n: number) => String(n).padStart(2, '0')
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`
}

export const moment = (t: string) => {
  const d = new Date(t)
  const day = d.toDateString() === new Date().toDateString() ? '' : d.toLocaleDateString('en-CA') + ' '
  return day + d.toLocaleTimeString('en-GB')
}

/** A word of a shell that stands for a text. Control characters are escaped, since a terminal takes them for keys. */
export function quoted(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  if (!/[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(text)) return `'${text.replaceAll("'", `'\\''`)}'`
  return `$'${text.replace(/[\\']/g, c => '\\' + c).replace(/[\0-\x1f\x7f-\x9f]/g, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'))}'`
}

const hidden = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g

/** A text as it is to be seen: characters that nobody sees, or that turn the text around, are escaped. */
export const plain = (text: string) => text.replace(hidden, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'))
