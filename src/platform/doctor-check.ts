// The shape of one check of `espalier doctor`. Apart so that rooms and main give checks and api/ runs them.

/** What a check found. `todo` is what a person can do, for warn and fail. */
export interface CheckFinding {
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  todo?: string;
}

/** A question about the whole deployment: `orphans`, `engine incus`, `clocks`. Changes nothing. */
export interface DoctorCheck {
  name: string;
  /** Throwing counts as `fail` with the problem's sentences; the signal aborts after 10 s. */
  run(signal: AbortSignal): Promise<CheckFinding>;
}
