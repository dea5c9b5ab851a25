// The firewall's text, by exact comparison.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FirewallPlan, renderFirewall, renderNoFirewall, tableOf } from './rules.ts';

const plan: FirewallPlan = {
  ...{ mode: 'ours', bridge: 'try0', network: '10.87.0.0/20' },
  ...{ members: ['10.0.0.12', '10.0.0.11'], routers: ['10.0.0.11', '10.0.0.12'], doors: [7443], visits: [443, 80] },
  ...{ inners: ['10.87.0.3', '10.87.0.64'], databases: ['10.87.0.4'], caches: ['10.87.0.5'] },
  ...{ carriers: ['10.87.0.9', '10.87.0.70'], edges: ['10.87.0.2', '10.87.0.65'], allow: [] },
};
const place = { table: 'espalier_try.firewall', tunnel: 'try0-vx', ssh: [22], knowsBridges: true };

test('ours: the ports that are ours are for whom they are, and containers reach what they need', () => {
  const { text, fingerprint } = renderFirewall(plan, place);
  const between = `    chain between {
        ip saddr != 10.87.0.0/20 return
        ip daddr != 10.87.0.0/20 return
        ip saddr @inners accept
        ip daddr @inners accept
        ip protocol icmp accept
        ip saddr @edges tcp dport 80 accept
        ip daddr @edges tcp sport 80 accept
        ip saddr @edges ip daddr @edges tcp dport 10000 accept
        ip daddr @edges ip saddr @edges tcp sport 10000 accept
        ip daddr @databases tcp dport 3306 accept
        ip saddr @databases tcp sport 3306 accept
        ip daddr @caches tcp dport 6379 accept
        ip saddr @caches tcp sport 6379 accept
        ip saddr @carriers ip daddr @carriers tcp dport 873 accept
        ip daddr @carriers ip saddr @carriers tcp sport 873 accept
        ip saddr 10.87.0.0/20 counter drop
    }
`;
  const sets = `    set inners {
        type ipv4_addr
        elements = { 10.87.0.3, 10.87.0.64 }
    }
    set databases {
        type ipv4_addr
        elements = { 10.87.0.4 }
    }
    set caches {
        type ipv4_addr
        elements = { 10.87.0.5 }
    }
    set carriers {
        type ipv4_addr
        elements = { 10.87.0.70, 10.87.0.9 }
    }
    set edges {
        type ipv4_addr
        elements = { 10.87.0.2, 10.87.0.65 }
    }
`;
  assert.equal(
    text,
    `table inet espalier_try.firewall
delete table inet espalier_try.firewall
table inet espalier_try.firewall {
    comment "espalier ${fingerprint}"
    set members {
        type ipv4_addr
        elements = { 10.0.0.11, 10.0.0.12 }
    }
    set routers {
        type ipv4_addr
        elements = { 10.0.0.11, 10.0.0.12 }
    }
${sets}${between}    chain input {
        type filter hook input priority filter + 10; policy accept;
        ct state established,related accept
        iifname "lo" accept
        iifname "try0" udp dport { 53, 67 } accept
        iifname "try0" tcp dport 53 accept
        iifname { "try0", "try0-vx" } ip protocol icmp accept
        iifname { "try0", "try0-vx" } tcp dport != { 80, 443 } counter drop
        iifname { "try0", "try0-vx" } meta l4proto != tcp counter drop
        tcp dport 8443 ip saddr != @members counter drop
        udp dport 4789 ip saddr != @members counter drop
    }
    chain forward {
        type filter hook forward priority filter + 10; policy accept;
        ct state established,related accept
        ip saddr 10.87.0.0/20 ip daddr @members counter drop
        ip daddr 10.87.0.0/20 ip saddr != 10.87.0.0/20 counter drop
        jump between
    }
}
table bridge espalier_try.firewall
delete table bridge espalier_try.firewall
table bridge espalier_try.firewall {
    comment "espalier ${fingerprint}"
${sets}${between}    chain forward {
        type filter hook forward priority 10; policy accept;
        meta ibrname "try0" ether type ip6 counter drop
        jump between
    }
}
`,
  );
});

test('strict: nothing else of the server is reachable, but ssh where it listens and what a person allows', () => {
  const strict = { ...plan, mode: 'strict', allow: ['tcp/9100', 'udp/161'] } as const;
  const { text } = renderFirewall(strict, { ...place, ssh: [2222] });
  const end = text.slice(text.indexOf('        ip saddr @members tcp dport 8443'), text.indexOf('    chain forward'));
  assert.equal(
    end,
    `        ip saddr @members tcp dport 8443 accept
        ip saddr @members udp dport 4789 accept
        ip saddr @routers ip protocol 112 accept
        meta l4proto { icmp, ipv6-icmp } accept
        udp dport { 53, 67, 68, 546, 547 } accept
        tcp dport 53 accept
        tcp dport { 80, 443, 2222, 7443 } accept
        tcp dport 9100 accept
        udp dport 161 accept
        counter drop
    }
`,
  );
});

test('a server without doors, and one alone, give rules that nft takes', () => {
  const { text } = renderFirewall({ ...plan, visits: [], routers: [], caches: [] }, place);
  assert.match(text, /^ {8}iifname \{ "try0", "try0-vx" \} counter drop$/m);
  assert.match(text, /^ {4}set routers \{\n {8}type ipv4_addr\n {4}\}$/m);
});

test('a kernel that does not know bridges by name gets all the rest', () => {
  const [whole, rest] = [renderFirewall(plan, place), renderFirewall(plan, { ...place, knowsBridges: false })];
  const isComment = (line: string) => line.includes('comment');
  const left = whole.text.split('\n').filter((line) => !line.includes('ibrname') && !isComment(line));
  assert.deepEqual(
    rest.text.split('\n').filter((line) => !isComment(line)),
    left,
  );
});

test('the fingerprint changes with every rule and with nothing else', () => {
  const { fingerprint } = renderFirewall(plan, place);
  assert.equal(renderFirewall({ ...plan, members: [...plan.members].reverse() }, place).fingerprint, fingerprint);
  assert.notEqual(renderFirewall({ ...plan, mode: 'strict' }, place).fingerprint, fingerprint);
  assert.notEqual(renderFirewall({ ...plan, edges: [] }, place).fingerprint, fingerprint);
});

test('taking it away names our tables only, and may be done twice', () => {
  assert.equal(tableOf('my-shop'), 'espalier_my_shop.firewall');
  assert.equal(
    renderNoFirewall('espalier_try.firewall'),
    `table inet espalier_try.firewall
delete table inet espalier_try.firewall
table bridge espalier_try.firewall
delete table bridge espalier_try.firewall
`,
  );
});
