/** Extensions for every run: what training may do differently at a hook. */
import { definePlugin } from '../../core/plugin.ts';
import { criticalTokens } from './critical-tokens.ts';
import { cutRationales } from './cut-rationales.ts';
import { promptTemplates } from './prompt-templates.ts';

export default definePlugin({
  name: 'extensions',
  provides: [criticalTokens, cutRationales, promptTemplates],
});
