import { Component, ComponentChildren } from 'preact'
import { Empty } from './ui'

/** Says so where what is within cannot be drawn, and leaves the rest of the page as it is. */
export class Guard extends Component<{ children: ComponentChildren }, { failure?: string }> {
  static getDerivedStateFromError(e: unknown) {
    return { failure: e instanceof Error ? e.message : String(e) }
  }

  componentDidCatch(e: unknown) { console.error(e) }

  render() {
    return this.state.failure === undefined ? this.props.children : <Empty>This page cannot be drawn: {this.state.failure}. <button type="button" class="small" onClick={() => location.reload()}>Load it again</button></Empty>
  }
}
