// The deployment over HTTP: bring it up, stop it, destroy it, and what a person wants to see first.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  accepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { secretsOf, urlOf } from '../sites/parts.ts';
import { listSites } from '../sites/store.ts';
import { type DeploymentParts, FIRST_APPS } from './parts.ts';
import { startEnd } from './stop.ts';
import { readDeployment } from './store.ts';
import { startUp } from './up.ts';

const port = z.int().min(1).max(65_535);
const viewSchema = z
  .object({
    name: z.string(),
    wanted: z.enum(['up', 'down']),
    httpPort: z.number().nullable(),
    /** The first sites with their first passwords. */
    sites: z.array(
      z.object({
        name: z.string(),
        app: z.string(),
        url: z.string(),
        login: z.string(),
        user: z.string(),
        password: z.string(),
      }),
    ),
  })
  .openapi('Deployment');

const listServed = async (store: Store): Promise<string[]> =>
  (await listSites(store)).flatMap(({ name, state }) => (state === 'ready' ? [name] : []));

/** /v1/deployment. */
export function makeDeploymentRoutes(parts: DeploymentParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/deployment',
      operationId: 'readDeployment',
      tags: ['deployment'],
      summary: 'The deployment and its first sites with their first passwords',
      middleware: [needsScope('admin')],
      responses: { 200: json(viewSchema, 'The deployment') },
    }),
    async (c) => {
      const { wanted, httpPort } = await readDeployment(store);
      const first = (await listSites(store)).filter((site) => FIRST_APPS.includes(site.name) && site.state === 'ready');
      const sites = await Promise.all(
        first.map(async (site) => {
          const url = urlOf(parts.sites.publicAddress, site.hosts[0] ?? '');
          const name = `${secretsOf(site.id)}admin-password`;
          const password = (await parts.sites.secrets.readAll(store, name))[name] ?? '';
          const login = `${url}${parts.sites.readRecipe(site.app)?.site?.loginPath ?? '/'}`;
          return { name: site.name, app: site.app, url, login, user: site.adminUser, password };
        }),
      );
      return c.json({ name: parts.name, wanted, httpPort, sites }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/deployment',
      operationId: 'bringUp',
      tags: ['deployment'],
      summary: 'Bring the deployment up',
      middleware: [needsScope('admin')],
      request: { query: dryRunQuery, body: jsonBody(z.object({ httpPort: port.optional() })) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) =>
      beginOrPlan(
        c,
        store,
        (s) => startUp({ ...parts, store: s }, c.req.valid('json').httpPort, whoOf(c)),
        () => ({
          plan: ['What is missing is made, what is stopped is started; what is there stays as it is.'],
        }),
      ),
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/deployment/stop',
      operationId: 'stopDeployment',
      tags: ['deployment'],
      summary: 'Stop all containers; all data stays',
      middleware: [needsScope('admin')],
      request: { query: dryRunQuery },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) =>
      beginOrPlan(
        c,
        store,
        (s) => startEnd({ ...parts, store: s }, 'deployment.stop', whoOf(c)),
        async () => ({
          plan: ['All containers stop; all data stay. No site is served until it is brought up again.'],
          sites: await listServed(store),
        }),
      ),
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/deployment',
      operationId: 'destroyDeployment',
      tags: ['deployment'],
      summary: 'Remove everything that the deployment made',
      middleware: [needsScope('admin')],
      request: { query: dryRunQuery },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) =>
      beginOrPlan(
        c,
        store,
        (s) => startEnd({ ...parts, store: s }, 'deployment.destroy', whoOf(c)),
        async () => ({
          plan: [
            'All containers, volumes and images go, with all data of all sites, archived ones and backups included.',
          ],
          sites: await listServed(store),
        }),
      ),
  );
  return routes;
}
