import { effect } from '@preact/signals'
import { ruleOf, Route } from './api'
import { address, routes } from './state'

export const columns: { name: string; of: (r: Route) => string }[] = [
  { name: 'Method', of: r => r.method },
  { name: 'Path', of: r => r.path },
  { name: 'RPC', of: r => r.rpc ?? '' },
  { name: 'Stream', of: r => r.stream ?? '' },
  { name: 'Upstream', of: r => r.upstream || r.answer || '' },
  { name: 'Policies', of: r => r.policies.join(' ') },
]

const part = 500 // routes whose texts are made between two looks at the clock

/** What is looked for in, a line for each column and condition. */
const textOf = (r: Route) => `${r.method}\n${r.path}\n${r.rpc ?? ''}\n${r.stream ?? ''}\n${r.upstream || r.answer || ''}\n${r.policies.join(' ')}\n${r.conditions?.join('\n') ?? ''}`.toLowerCase()

/**
 * Finds routes in a list of any length within the time between two keys: the texts and the orders are made once, a query that grows looks
 * at what the former one has found alone.
 */
class Index {
  private texts: string[] = []
  private orders = new Map<number, number[]>()
  private words: string[] = []
  private found: number[] | null = null // null: all

  constructor(private all: Route[]) {}

  /** Makes more of the texts while there is time, and reports whether all are made. */
  prepare(time: () => boolean = () => true): boolean {
    do {
      const end = Math.min(this.all.length, this.texts.length + part)
      for (let i = this.texts.length; i < end; i++) this.texts.push(textOf(this.all[i]))
    } while (this.texts.length < this.all.length && time())
    return this.texts.length === this.all.length
  }

  find(query: string, by: number, down: boolean): Route[] {
    this.look(query.toLowerCase().split(/\s+/).filter(Boolean))
    const order = this.order(by)
    let list: Route[]
    if (!this.found) list = order ? order.map(i => this.all[i]) : this.all.slice()
    else if (!order) list = this.found.map(i => this.all[i])
    else {
      const taken = new Uint8Array(this.all.length)
      for (const i of this.found) taken[i] = 1
      list = order.filter(i => taken[i]).map(i => this.all[i])
    }
    return by >= 0 && down ? list.reverse() : list
  }

  /** Finds the places of the routes that have all words. */
  private look(words: string[]) {
    const narrower = this.words.every(old => words.some(w => w.includes(old)))
    this.words = words
    if (!words.length) {
      this.found = null
      return
    }
    this.prepare()
    const has = (i: number) => words.every(w => this.texts[i].includes(w))
    if (narrower && this.found) this.found = this.found.filter(has)
    else {
      this.found = []
      for (let i = 0; i < this.all.length; i++) if (has(i)) this.found.push(i)
    }
  }

  /** The places of all routes by a column; those that are alike stay as they stand. */
  private order(by: number): number[] | null {
    if (by < 0) return null
    let order = this.orders.get(by)
    if (!order) {
      const keys = this.all.map(columns[by].of)
      order = keys.map((_, i) => i).sort((a, b) => keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b)
      this.orders.set(by, order)
    }
    return order
  }
}

const indexes = new WeakMap<Route[], Index>()

export function indexOf(all: Route[]): Index {
  let index = indexes.get(all)
  if (!index) indexes.set(all, index = new Index(all))
  return index
}

const idle: typeof window.requestIdleCallback = window.requestIdleCallback ?? // Safari has none
  (f => window.setTimeout(() => { const end = performance.now() + 5; f({ didTimeout: false, timeRemaining: () => end - performance.now() }) }, 20))

// The first word of a filter does not wait for the texts: they are made when the browser has nothing else to do.
effect(() => {
  const all = routes.value
  const more: IdleRequestCallback = left => {
    if (all && routes.peek() === all && !indexOf(all).prepare(() => left.timeRemaining() > 1)) idle(more, { timeout: 100 })
  }
  idle(more, { timeout: 100 })
})

/** Has the key Enter open the first route that a filter has found. */
export const opens = (list: Route[], page: string) => (e: KeyboardEvent) => {
  if (e.key === 'Enter' && list.length) location.hash = address(page, { rule: ruleOf(list[0]) })
}
