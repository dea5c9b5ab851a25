// The firewall of a server over HTTP: how it stands, with its rules, and what a person chooses.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { ALLOWED } from '../engines/nftables/rules.ts';
import { commonProblems } from '../lib/errors.ts';
import type { Events } from '../platform/events.ts';
import {
  type ApiRoutes,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { planOf, rehearsing } from '../platform/plan-change.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { readFirewallChoice, storeFirewallChoice } from './firewall.ts';
import { serverLock } from './locks.ts';
import { readServer } from './store.ts';

const SHOW_MS = 15_000;
const MOST_ALLOWED = 50;

const choiceSchema = z
  .object({ server: z.string(), mode: z.enum(['off', 'ours', 'strict']), allow: z.array(z.string()) })
  .openapi('FirewallChoice');
const firewallSchema = choiceSchema
  .extend({ state: z.enum(['on', 'off', 'failed']), detail: z.string(), rules: z.string() })
  .openapi('Firewall');
const nameParam = z.object({ name: z.string().max(100) });

export interface FirewallParts {
  store: Store;
  events: Events;
  agents: AgentPort;
}

/** /v1/servers/{name}/firewall. */
export function makeFirewallRoutes({ store, events, agents }: FirewallParts): ApiRoutes {
  const routes = makeRoutes();
  const common = { tags: ['servers'], path: '/v1/servers/{name}/firewall' as const };
  const assertServer = async (sql: Sql, name: string): Promise<void> => {
    if ((await readServer(sql, name)) === undefined) throw commonProblems.make('not-found', { noun: 'server', name });
  };
  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      operationId: 'readFirewall',
      summary: 'How the firewall of a server stands, with its rules',
      request: { params: nameParam },
      responses: { 200: json(firewallSchema, 'The firewall') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      await assertServer(store, name);
      const choice = await readFirewallChoice(store, name);
      const { state, detail, text } = await agents.call(name, 'firewall.show', {}, { timeoutMs: SHOW_MS });
      return c.json({ ...choice, state, detail, rules: text }, 200);
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'put',
      operationId: 'setFirewall',
      summary: 'Choose what the firewall of a server does: off, ours, strict',
      middleware: [needsScope('admin')],
      request: {
        params: nameParam,
        query: dryRunQuery,
        body: jsonBody(
          z.strictObject({
            mode: z.enum(['off', 'ours', 'strict']),
            /** In `strict`: `tcp/9100`, `udp/161`. What was allowed before stays unless given. */
            allow: z.array(z.string().regex(ALLOWED)).max(MOST_ALLOWED).optional(),
          }),
        ),
      },
      responses: {
        200: json(z.union([choiceSchema, planSchema]), 'What was chosen; its agent hears it within seconds'),
      },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { mode, allow } = c.req.valid('json');
      const change = (to: Store) =>
        to.transaction(async (sql) => {
          await assertServer(sql, name);
          const before = await readFirewallChoice(sql, name);
          const next = { server: name, mode, allow: allow ?? before.allow };
          await storeFirewallChoice(sql, next);
          await events.append(sql, {
            ...{ kind: 'server.firewall', subject: serverLock(name), ...whoOf(c) },
            data: { mode, allow: next.allow },
          });
          return next;
        });
      const plan = await planOf(c, () => change(rehearsing(store)), { plan: [`${name}: ${renderMode(mode, allow)}`] });
      if (plan !== undefined) return c.json(plan, 200);
      const choice = await change(store);
      return c.json(choice, 200);
    },
  );
  return routes;
}

function renderMode(mode: 'off' | 'ours' | 'strict', allow: readonly string[] = []): string {
  if (mode === 'off') return 'no rule of ours is left.';
  if (mode === 'ours') return 'our own ports and containers are reachable only by those that need them.';
  const also = allow.length === 0 ? '' : ` and ${allow.join(', ')}`;
  return `only visitors' ports, ssh, the other servers${also} can reach it.`;
}
