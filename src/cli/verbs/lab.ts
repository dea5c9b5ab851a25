// The verbs of a lab: several servers on this machine, to try a cluster and to break it.
import { type Command, Option } from 'commander';
import { assertConfirmed, toEarnest } from '../cli.ts';
import { CUT_FROM, CUT_WAYS, type Cut } from '../lab/cut.ts';
import { DEFAULT_LAB } from '../lab/lab.ts';
import { cliProblems } from '../problems.ts';
import { positive, type Run } from './arguments.ts';

interface LabOptions {
  lab: string;
}

/** The bridge is one longer, and an interface's name has at most 15 characters. */
function assertLabName(name: string): string {
  if (/^[a-z][a-z0-9]{1,12}$/.test(name)) return name;
  throw cliProblems.make('usage', { why: `A lab's name is 2 to 13 letters and digits, and "${name}" is not` });
}

const withLab = (command: Command): Command => command.option('--lab <name>', 'which lab on this machine', DEFAULT_LAB);

/** Labs. */
export function addLabVerbs(root: Command, run: Run): void {
  const lab = root.command('lab').description('several servers on this machine, to try a cluster and to break it');
  withLab(lab.command('up'))
    .description('make the servers: containers that stand for machines, each with an Incus of its own')
    .option('--servers <n>', 'how many', positive, 3)
    .option('--memory <MiB>', 'the bound of each', positive, 4096)
    .option('--bare', 'the machines alone, without Espalier on them')
    .action(
      run<LabOptions & { servers: number; memory: number; bare?: true }>(
        async (cli, { lab: name, servers, memory, bare }) =>
          (await import('../lab/up.ts')).runLabUp(toEarnest(cli), {
            ...{ name: assertLabName(name), servers, memoryMib: memory, bare: bare === true },
          }),
      ),
    );
  withLab(lab.command('status'))
    .description('the servers, and what is broken about them')
    .action(run<LabOptions>(async (cli, { lab: name }) => (await import('../lab/up.ts')).runLabStatus(cli, name)));
  withLab(lab.command('exec'))
    .description('run a command on a server, or a shell: espalier lab exec s1 -- incus list')
    .argument('<server>')
    .argument('[command...]')
    .action(
      run<LabOptions>(async (cli, { lab: name }, [server = '', ...argv]) =>
        (await import('../lab/exec.ts')).runLabExec(cli, name, server, argv),
      ),
    );
  withLab(lab.command('kill'))
    .description('power a server off')
    .argument('<server>')
    .action(
      run<LabOptions>(async (cli, { lab: name }, [server = '']) =>
        (await load()).runKill(toEarnest(cli), name, server),
      ),
    );
  withLab(lab.command('freeze'))
    .description('stop all processes of a server where they are')
    .argument('<server>')
    .action(
      run<LabOptions>(async (cli, { lab: name }, [server = '']) =>
        (await load()).runFreeze(toEarnest(cli), name, server),
      ),
    );
  withLab(lab.command('cut'))
    .description('cut a server off the network')
    .argument('<server>')
    .addOption(new Option('--from <whom>', 'from whom').choices(CUT_FROM).default('everything'))
    .addOption(
      new Option('--way <way>', 'in: it hears nothing; out: it is not heard').choices(CUT_WAYS).default('both'),
    )
    .action(
      run<LabOptions & Cut>(async (cli, { lab: name, from, way }, [server = '']) =>
        (await load()).runCut(toEarnest(cli), name, server, { from, way }),
      ),
    );
  withLab(lab.command('heal'))
    .description('bring a server back: powered on, going on, connected')
    .argument('<server>')
    .action(
      run<LabOptions>(async (cli, { lab: name }, [server = '']) =>
        (await load()).runHeal(toEarnest(cli), name, server),
      ),
    );
  withLab(lab.command('down'))
    .description('remove the servers with everything in them; asks for its name')
    .action(
      run<LabOptions>(async (cli, { lab: name }) => {
        await assertConfirmed(cli, `This removes the lab "${name}" with its servers and all that is in them.`, name);
        return await (await import('../lab/up.ts')).runLabDown(toEarnest(cli), name);
      }),
    );
}

const load = () => import('../lab/break.ts');
