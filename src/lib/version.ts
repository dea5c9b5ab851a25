// The version of the whole, from package.json. Apart because controller, agent and API say it.
import manifest from '../../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;
