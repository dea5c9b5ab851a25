// The version of the whole, from package.json, and of what controller and agent say to each other. Apart because
// controller, agent, API and command line tell them.
import manifest from '../../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;

/** Raised when a method changes so that older programs would misunderstand it. */
export const PROTOCOL_VERSION = 2;
