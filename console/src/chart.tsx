import { useState } from 'preact/hooks'
import { clock } from './format'

export interface Series { name: string; mood: string; values: number[]; area?: boolean }

/** What a latency is the time of. */
export const latencyNote = "from the request's header to the end; streams are left out"

const width = 600, height = 150, steps = 180

/** A step of the scale that people read well: 1, 2 or 5 times a power of ten. */
function top(max: number): number {
  if (max <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(max))
  return ([1, 2, 5, 10].find(m => m * power >= max) ?? 10) * power
}

function path(values: number[], max: number, area?: boolean): string {
  const x = (i: number) => width - (values.length - 1 - i) * width / (steps - 1)
  const y = (v: number) => height - Math.min(1, v / max) * height
  let d = '', open = false
  values.forEach((v, i) => {
    if (v < 0) { open = false; return }
    d += open ? `L${x(i).toFixed(1)} ${y(v).toFixed(1)}` : `M${x(i).toFixed(1)} ${y(v).toFixed(1)}h.1` // a lone point is a dot
    open = true
  })
  if (!area || !values.length) return d
  return `${d}L${width} ${height}L${x(0).toFixed(1)} ${height}Z`
}

/** Lines over the last quarter of an hour, the present at the right. */
export function Chart({ label, times, series, format }: { label: string; times: number[]; series: Series[]; format: (v: number) => string }) {
  const [at, setAt] = useState(-1)
  const max = top(Math.max(0, ...series.flatMap(s => s.values)))
  const last = times.length - 1
  const shown = at >= 0 && at <= last ? at : last
  const move = (e: PointerEvent) => {
    const box = (e.currentTarget as Element).getBoundingClientRect()
    const i = Math.round((e.clientX - box.left) / box.width * (steps - 1)) - (steps - times.length)
    setAt(Math.max(0, Math.min(last, i)))
  }
  const value = (s: Series) => shown < 0 || s.values[shown] < 0 ? '–' : format(s.values[shown])
  return <figure class="chart">
    <div class="plot" onPointerMove={move} onPointerLeave={() => setAt(-1)}>
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img"
        aria-label={`${label}: ${series.map(s => `${s.name} ${value(s)}`).join(', ')}`}>
        {[0.5, 1].map(f => <line class="grid" x1="0" x2={width} y1={height * (1 - f)} y2={height * (1 - f)} />)}
        {series.map(s => <path class={`line ${s.mood}${s.area ? ' area' : ''}`} d={path(s.values, max, s.area)} />)}
        {at >= 0 && <line class="at" x1={width - (last - shown) * width / (steps - 1)} x2={width - (last - shown) * width / (steps - 1)} y1="0" y2={height} />}
      </svg>
      <span class="scale">{format(max)}</span>
      <span class="scale half">{format(max / 2)}</span>
    </div>
    <figcaption>
      {series.map(s => <span class={'key ' + s.mood}>{s.name} <b>{value(s)}</b></span>)}
      <span class="time">{shown >= 0 && at >= 0 ? clock(times[shown] * 1000) : 'last 15 min'}</span>
    </figcaption>
  </figure>
}

export function Spark({ values }: { values: number[] }) {
  const max = Math.max(1, ...values)
  return <svg class="spark" viewBox="0 0 90 20" aria-hidden="true">
    {values.map((v, i) => v > 0 && <rect x={i * 2} width="1.5" y={20 - Math.max(1, v / max * 20)} height={Math.max(1, v / max * 20)} />)}
  </svg>
}
