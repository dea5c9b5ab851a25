// What every file of this room is given.
import type { Logger } from '../lib/log.ts';
import type { Events } from '../platform/events.ts';
import type { Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import type { SequencerSettings } from './settings.ts';
import type { TimeSource } from './time.ts';

export interface SequencerParts {
  store: Store;
  events: Events;
  agents: AgentPort;
  time: TimeSource;
  /** 0 to 1. */
  random: () => number;
  settings: SequencerSettings;
  log: Logger;
}

/** What an event about a task is about. */
export const taskSubject = (task: string): string => `task:${task}`;
