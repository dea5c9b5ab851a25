// The problems of this room: recipes that cannot be used.
import { makeCatalogue } from '../lib/errors.ts';

/** One thing that is wrong in a recipe; `line` counts from 1. */
export interface RecipeFault {
  file: string;
  line: number;
  /** Where in the document, as `site.check.path`; empty for the whole. */
  where: string;
  why: string;
}

function renderFault({ file, line, where, why }: RecipeFault): string {
  return `${file}:${line}: ${where === '' ? '' : `${where} `}${why}`;
}

export const appProblems = makeCatalogue('apps', {
  'recipe-invalid': {
    status: 422,
    title: 'The recipe has errors',
    detail: (a: { faults: RecipeFault[] }) => `${a.faults.map(renderFault).join('; ')}.`,
    todo: () => 'Correct the lines named; docs/how-to/add-an-app.md shows every key.',
  },
  'recipe-missing': {
    status: 404,
    title: 'There is no recipe in this folder',
    detail: (a: { folder: string }) => `${a.folder} holds neither an app.yaml nor a service.yaml.`,
    todo: () => 'Name a folder that holds a recipe; docs/how-to/add-an-app.md shows how one looks.',
  },
  'recipe-twice': {
    status: 409,
    title: 'Two recipes have the same name',
    detail: (a: { name: string; folders: string[] }) => `"${a.name}" is the name of ${a.folders.join(' and ')}.`,
    todo: () => 'Rename one of the folders and the name in it.',
  },
  'archive-missing': {
    status: 409,
    title: 'The app needs an archive that is not there',
    detail: (a: { app: string; variable: string }) =>
      `${a.app} is not in Debian: its release comes from an archive, and ${a.variable} names none.`,
    todo: (a) => `Set ${a.variable} to the path or URL of the release archive and start the controller again.`,
  },
});
