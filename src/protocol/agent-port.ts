// How rooms reach agents, whatever carries the calls: WebSockets in earnest, a simulated twin in tests and
// `up --simulated`. Apart so that neither the rooms nor the twin know of sockets.
import type { AgentContract } from './contract.ts';
import type { CallOptions, ParamsOf, ResultOf } from './peer.ts';

export interface AgentPort {
  /** Calls the agent of a server; `protocol.disconnected` (retryable) when it is not connected. */
  call<M extends keyof AgentContract & string>(
    server: string,
    method: M,
    params: ParamsOf<AgentContract, M>,
    options: CallOptions,
  ): Promise<ResultOf<AgentContract, M>>;
  /** Names of the servers whose agents are connected now. */
  connected(): string[];
}
