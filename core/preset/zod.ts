/** The schema library, imported here once. Plugins get it as `z` from `core/plugin.ts`. */
export { z } from 'zod';
