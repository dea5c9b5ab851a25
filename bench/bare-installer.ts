// What site-create is compared with: WordPress's installer run by hand in a node, by the script that we run too, with a
// hand-written site document and a database that was made before. Nothing of ours works meanwhile.
import type { Place } from './place.ts';

const ROOT = '/run/espalier-bench';
const INSTALL = '/usr/lib/espalier/app/install';
/** Debian's www-data. */
const UID = 33;

export interface BareInstaller {
  /** Installs once; gives the seconds of the installer alone. `compiled`: with the code that the image holds compiled. */
  run(compiled: boolean): Promise<number>;
  close(): Promise<void>;
}

/** Prepares the folder in one node; the database is made anew for every run, outside the measured time. */
export async function makeBareInstaller(place: Place, node: { name: string }): Promise<BareInstaller> {
  const { fleet, clock } = place;
  const database = (await fleet.instances.list({ labels: { kind: 'database' } }, {})).at(0);
  if (database === undefined) throw new Error('the deployment has no database server');
  const host = (await fleet.instances.readState(database.name)).addresses[0] ?? '';

  async function exec(
    name: string,
    argv: readonly string[],
    more: { uid?: number; stdin?: string } = {},
  ): Promise<void> {
    const result = await fleet.exec(name, argv, { timeoutMs: 120_000, ...more });
    if (result.code !== 0)
      throw new Error(`${argv[0]} in ${name} ended with ${result.code}: ${result.stderr}${result.stdout}`);
  }
  const inDatabase = (sql: string) => exec(database.name, ['mariadb', '--execute', sql]);
  const makeDatabase = () =>
    inDatabase(
      `DROP DATABASE IF EXISTS bare; CREATE DATABASE bare CHARACTER SET utf8mb4;
       CREATE OR REPLACE USER bare@'%' IDENTIFIED BY 'bare'; GRANT ALL ON bare.* TO bare@'%';`,
    );

  const document = {
    site: 'sbare00000',
    url: `http://bare.localhost`,
    database: { host, port: 3306, name: 'bare', user: 'bare', password: 'bare' },
    secrets: { keys: 'written by hand' },
  };
  const script = `install -d -o ${UID} ${ROOT} ${ROOT}/opcache && ln -sfn /usr/lib/espalier/opcache/* ${ROOT}/opcache/ && cat >${ROOT}/site.json`;
  await exec(node.name, ['sh', '-c', script], { stdin: JSON.stringify(document) });
  const wish = { title: 'Bare', url: document.url, admin: { user: 'admin', email: 'a@example.org', password: 'bare' } };

  return {
    async run(compiled) {
      await makeDatabase();
      const own = [`ESPALIER_SITE_FILE=${ROOT}/site.json`, 'HTTP_HOST=bare.localhost'];
      const code = compiled ? [`ESPALIER_OPCACHE=${ROOT}/opcache`, 'ESPALIER_OPCACHE_CLI=1'] : [];
      const argv = ['env', '-i', 'PATH=/usr/bin:/bin', ...own, ...code, INSTALL];
      const startedMs = clock.monotonicMs();
      await exec(node.name, argv, { uid: UID, stdin: JSON.stringify(wish) });
      return (clock.monotonicMs() - startedMs) / 1000;
    },
    async close() {
      await inDatabase(`DROP DATABASE IF EXISTS bare; DROP USER IF EXISTS bare@'%'`);
      await exec(node.name, ['rm', '-rf', ROOT]);
    },
  };
}
