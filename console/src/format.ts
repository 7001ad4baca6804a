export const plural = (n: number, thing: string) => `${n.toLocaleString('en')} ${thing}${n === 1 ? '' : 's'}`

export function duration(ms: number): string {
  if (ms < 0) return '–'
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

export const rate = (n: number) => n >= 100 ? Math.round(n).toLocaleString('en') : n >= 10 ? n.toFixed(1) : n.toFixed(n ? 2 : 0)

export const clock = (t: string | number) => new Date(t).toLocaleTimeString('en-GB')

export const moment = (t: string) => {
  const d = new Date(t)
  const day = d.toDateString() === new Date().toDateString() ? '' : d.toLocaleDateString('en-CA') + ' '
  return day + d.toLocaleTimeString('en-GB')
}

/** A word of a shell that stands for a text. */
export const quoted = (text: string) => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
