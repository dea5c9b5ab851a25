// The links to all nodes that have or had runs: opened when first needed, opened anew when they broke, closed when the
// node leaves. Apart from what is said over them.
import type { NodeLink } from './node-link.ts';

export interface NodeLinks {
  /** The open link, or undefined. */
  current(node: string): NodeLink | undefined;
  /** The open link, or a new one. Who comes meanwhile waits for the same. */
  to(node: string): Promise<NodeLink>;
  close(node: string): void;
  /** Nodes with an open link. */
  open(): string[];
}

/** `onOpen` hears of each link right after it was opened. */
export function makeNodeLinks(
  openLink: (node: string) => Promise<NodeLink>,
  onOpen: (node: string, link: NodeLink) => void,
): NodeLinks {
  const links = new Map<string, NodeLink>();
  const opening = new Map<string, Promise<NodeLink>>();

  async function open(node: string): Promise<NodeLink> {
    const link = await openLink(node);
    links.set(node, link);
    void link.units.closed.then(() => {
      if (links.get(node) === link) links.delete(node);
    });
    onOpen(node, link);
    return link;
  }

  return {
    current: (node) => links.get(node),
    to(node) {
      const link = links.get(node);
      if (link !== undefined) return Promise.resolve(link);
      const known = opening.get(node);
      if (known !== undefined) return known;
      const made = open(node).finally(() => opening.delete(node));
      opening.set(node, made);
      return made;
    },
    close(node) {
      links.get(node)?.units.close();
      links.delete(node);
    },
    open: () => [...links.keys()],
  };
}
