/** Extensions for every run: what training may do differently at a hook, and whom it tells. */
import { definePlugin } from '../../core/plugin.ts';
import { criticalTokens } from './critical-tokens.ts';
import { cutRationales } from './cut-rationales.ts';
import { notify } from './notify.ts';
import { promptTemplates } from './prompt-templates.ts';

export default definePlugin({
  name: 'extensions',
  provides: [criticalTokens, cutRationales, promptTemplates, notify],
});
