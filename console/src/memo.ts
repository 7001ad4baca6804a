import { Component, FunctionComponent, h } from 'preact'

/** A component that is drawn again only when what it is given is another. */
export function memo<P extends object>(Inner: FunctionComponent<P>) {
  return class extends Component<P> {
    shouldComponentUpdate(next: P) {
      return Object.entries(next).some(([k, v]) => v !== (this.props as Record<string, unknown>)[k])
    }

    render() { return h(Inner, this.props as P) }
  }
}
