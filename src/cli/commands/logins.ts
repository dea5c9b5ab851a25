// Addresses and first passwords: what a person needs to open a site. Apart because `up` ends with it and `site create`
// does too.
import { Problem } from '../../lib/errors.ts';
import type { Cli } from '../cli.ts';
import { renderTable } from '../output.ts';

/** A site's address and first login; the password is absent once it was changed. */
export interface Login {
  name: string;
  app: string;
  url: string;
  login?: string;
  user?: string;
  password?: string;
}

/** One site's. */
export async function readLogin(cli: Cli, site: { name: string; app: string; url: string }): Promise<Login> {
  const { name, app, url } = site;
  try {
    const path = `/v1/sites/${encodeURIComponent(name)}/first-login`;
    const { body } = await cli.client.request<{ url: string; user: string; password: string }>('GET', path, {
      signal: cli.signal,
    });
    return { name, app, url, login: body.url, user: body.user, password: body.password };
  } catch (thrown) {
    // A password that was changed, or a token that may not read it: the address alone is worth having.
    if (thrown instanceof Problem && thrown.document.status < 500) return { name, app, url };
    throw thrown;
  }
}

/** As a table; nothing for none. */
export function renderLogins(logins: readonly Login[]): string {
  if (logins.length === 0) return '';
  const titles = ['name', 'app', 'url', 'login', 'user', 'password'] as const;
  const shown = titles.filter((title) => logins.some((login) => login[title] !== undefined));
  return renderTable(
    shown.map((title) => ({ title, cell: (login: Login) => login[title] ?? '' })),
    logins,
  );
}
