// The channel to agents: takes their connections, holds them to a hello, and lets rooms call them by server name.
// Apart from the HTTP server that hands the sockets over and from what the rooms answer.
import type { WebSocket } from 'ws';
import { commonProblems } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { agentContract, type ControllerContract, controllerContract } from '../protocol/contract.ts';
import { type Answers, makePeer, type Peer } from '../protocol/peer.ts';
import { protocolProblems } from '../protocol/problems.ts';

/** What the rooms answer to an agent; each function is told which server asks. */
export type AgentAnswers = {
  [M in keyof ControllerContract]: (
    server: string,
    params: Parameters<Answers<ControllerContract>[M]>[0],
    signal: AbortSignal,
  ) => ReturnType<Answers<ControllerContract>[M]>;
};

/** The answers to one agent. `named` gives its server, or throws while it has not said which. */
export function bindAnswers(answers: AgentAnswers, named: () => string): Answers<ControllerContract> {
  return {
    hello: async (params, signal) => answers.hello(named(), params, signal),
    'certificate.renew': async (params, signal) => answers['certificate.renew'](named(), params, signal),
    heartbeat: async (params, signal) => answers.heartbeat(named(), params, signal),
    'runs.report': async (params, signal) => answers['runs.report'](named(), params, signal),
    'config.server': async (params, signal) => answers['config.server'](named(), params, signal),
    'config.pool': async (params, signal) => answers['config.pool'](named(), params, signal),
    'config.edge': async (params, signal) => answers['config.edge'](named(), params, signal),
  };
}

export interface Agents extends AgentPort {
  /**
   * Takes over a WebSocket that an agent opened. It must say hello first; nothing else is answered before. `certified`: the
   * only server for which it may speak; without it (the Unix socket) it may for any.
   */
  accept(socket: WebSocket, certified?: string): void;
  /** Ends the connection of a server's agent, if there is one. */
  drop(server: string): void;
  /** Closes every connection. */
  close(): void;
}

/** Makes the channel. `onGone` hears of each agent that was connected and went away. */
export function makeAgents(parts: { answers: AgentAnswers; onGone: (server: string) => void; log: Logger }): Agents {
  const { answers, onGone, log } = parts;
  const peers = new Map<string, { peer: Peer<typeof agentContract>; socket: WebSocket }>();
  const sockets = new Set<WebSocket>();

  function accept(socket: WebSocket, certified?: string): void {
    let server: string | undefined;
    const named = (): string => {
      if (server === undefined) throw commonProblems.make('invalid-input', { where: 'agent', why: 'say hello first' });
      return server;
    };
    const peer: Peer<typeof agentContract> = makePeer({
      name: 'agent',
      wire: { send: (text) => socket.send(text), close: () => socket.close() },
      ours: controllerContract,
      theirs: agentContract,
      log,
      answers: {
        ...bindAnswers(answers, named),
        hello: async (params, signal) => {
          if (certified !== undefined && params.server !== certified)
            throw commonProblems.make('invalid-input', { where: 'hello', why: `the certificate is of ${certified}` });
          const answer = await answers.hello(params.server, params, signal);
          server = params.server;
          const before = peers.get(server);
          peers.set(server, { peer, socket });
          before?.socket.terminate();
          return answer;
        },
      },
    });
    sockets.add(socket);
    socket.on('message', (data) => peer.receive(String(data)));
    socket.on('error', (error) => log.warn({ err: error, server }, 'the connection of an agent broke'));
    socket.on('close', () => {
      sockets.delete(socket);
      peer.disconnected();
      if (server === undefined || peers.get(server)?.peer !== peer) return;
      peers.delete(server);
      onGone(server);
    });
  }

  return {
    accept,
    call(server, method, params, options) {
      const known = peers.get(server);
      if (known === undefined)
        return Promise.reject(protocolProblems.make('disconnected', { name: `agent on ${server}` }));
      return known.peer.call(method, params, options);
    },
    connected: () => [...peers.keys()],
    drop: (server) => peers.get(server)?.socket.terminate(),
    close() {
      for (const socket of sockets) socket.terminate();
    },
  };
}
