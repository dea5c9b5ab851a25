// The pages that the edge answers by itself, as whole HTTP responses in files that HAProxy reads when it loads.
// Apart because they are words for people, and the only HTML of this engine.

interface Page {
  status: string;
  title: string;
  text: string;
  /** Seconds after which it is worth coming back; undefined when it never is by itself. */
  retryAfterS?: number;
  /** True for a page that soon becomes the site: the browser asks again by itself. */
  reloads?: boolean;
}

const pages: Record<string, Page> = {
  unknown: {
    status: '421 Misdirected Request',
    title: 'No site lives here',
    text: 'This address points to our servers, but no site of ours has this name. Check the spelling of the address.',
  },
  suspended: {
    status: '503 Service Unavailable',
    title: 'This site is suspended',
    text: 'It has been switched off by its operator. If it is yours, get in touch with whoever hosts it for you.',
    retryAfterS: 3600,
  },
  creating: {
    status: '503 Service Unavailable',
    title: 'Almost there',
    text: 'This site is being set up right now. The page shows it as soon as it is ready.',
    retryAfterS: 5,
    reloads: true,
  },
  'too-many': {
    status: '429 Too Many Requests',
    title: 'Too many requests',
    text: 'This site gets more requests than it may right now. Wait a moment, then try again.',
    retryAfterS: 1,
  },
  broken: {
    status: '502 Bad Gateway',
    title: 'The site gave no answer',
    text: 'The server behind this site broke off before it had answered. Try again.',
    retryAfterS: 5,
  },
  'no-node': {
    status: '503 Service Unavailable',
    title: 'The site cannot be reached',
    text: 'None of the servers behind this site can answer right now. They are watched, and come back by themselves.',
    retryAfterS: 5,
  },
  held: {
    status: '503 Service Unavailable',
    title: 'Just a moment',
    text: 'This site is being looked after. The page shows it as soon as it is back.',
    retryAfterS: 3,
    reloads: true,
  },
  waking: {
    status: '503 Service Unavailable',
    title: 'Waking up',
    text: 'Nobody has been here for a while, so this site sleeps. It is being started; the page shows it as soon as it is ready.',
    retryAfterS: 3,
    reloads: true,
  },
  'too-slow': {
    status: '504 Gateway Timeout',
    title: 'The site took too long',
    text: 'The server behind this site did not answer in time. Try again in a while.',
    retryAfterS: 30,
  },
};

const STYLE = [
  ':root{color-scheme:light dark}',
  'body{margin:0;min-height:100vh;display:grid;place-items:center;font:17px/1.6 system-ui,sans-serif;background:#f7f7f4;color:#23291f}',
  'main{max-width:30em;padding:2em}',
  'h1{font-size:1.7em;line-height:1.25;margin:0 0 .5em}',
  'p{margin:0 0 1em}small{color:#6b7165}',
  'hr{width:3em;margin:0 0 1.5em;border:0;border-top:4px solid #5b8c3a}',
  '@media(prefers-color-scheme:dark){body{background:#171a15;color:#e4e8df}small{color:#979e90}hr{border-color:#8bc268}}',
].join('');

function renderPage(page: Page): string {
  const refresh = page.reloads ? `<meta http-equiv="refresh" content="${page.retryAfterS}">` : '';
  const body = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">${refresh}<title>${page.title}</title><style>${STYLE}</style></head>
<body><main><hr><h1>${page.title}</h1><p>${page.text}</p><small>${page.status}</small></main></body></html>
`;
  return [
    `HTTP/1.1 ${page.status}`,
    'Content-Type: text/html; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    ...(page.retryAfterS === undefined ? [] : [`Retry-After: ${page.retryAfterS}`]),
    '',
    body,
  ].join('\r\n');
}

/** Every page by its file name (`unknown.http`), sorted. Each fits HAProxy's 16 KiB buffer many times over. */
export function renderPages(): Map<string, string> {
  return new Map(
    Object.entries(pages)
      .sort()
      .map(([name, page]) => [`${name}.http`, renderPage(page)]),
  );
}
