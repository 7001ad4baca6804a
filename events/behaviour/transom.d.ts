// Types of the script that the gateway serves (events.behaviour.script).

export interface Click { target?: string; textHash?: string; x?: number; y?: number }
export interface View { duration?: number; scroll?: number }
export interface Search { query?: string; results?: number; filters?: Record<string, string> }
export type Detail = { click: Click } | { view: View } | { search: Search };

export interface Transom {
  /** Sends an event of a type, such as "user.click", with the next ones. */
  track(type: string, properties?: Record<string, unknown>, detail?: Detail): void;
  /** Says who the user is, from now on. */
  identify(user: string | undefined): void;
  /** Sends what waits; when the page is being left, by sendBeacon. */
  flush(leaving?: boolean): void;
}

declare global {
  interface Window { transom: Transom }
}
