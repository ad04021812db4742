// `node --import ./test/support/typescript-loader.js file.ts` runs a TypeScript file without a build step.
import { register } from 'node:module';

process.setSourceMapsEnabled(true);
register(new URL('./typescript-hooks.js', import.meta.url));
