import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

// The engine is deterministic: what happens depends on records, stores and the ports it is given, on nothing else.
// clock.ts holds the only Date, timers and chance of the process.
const engine = ['schemas', 'state-stores', 'connectors', 'processors', 'topology'].map((folder) => `${folder}/**/*.ts`);
const files = ['state-stores/level*.ts', 'connectors/embedded/**/*.ts'];
const kafka = ['connectors/kafka/**/*.ts'];

const ambientGlobals = [
  'Date',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'fetch',
  'crypto',
].map((name) => ({ name, message: 'Time, chance and the network reach the engine through a port: see clock.ts.' }));

const ambientProperties = [
  ['process', 'nextTick'],
  ['process', 'hrtime'],
  ['process', 'uptime'],
  ['process', 'env'],
  ['Math', 'random'],
  ['AbortSignal', 'timeout'],
  ['globalThis', 'Date'],
  ['globalThis', 'setTimeout'],
  ['globalThis', 'crypto'],
].map(([object, property]) => ({
  object,
  property,
  message: 'Time, chance and settings reach the engine through a port: see clock.ts.',
}));

const moduleGroup = (names, message) => ({ regex: `^(node:)?(${names})(/.*)?$`, message });
const ambientModules = moduleGroup(
  'timers|net|tls|http|https|http2|dgram|dns|worker_threads|child_process|cluster|perf_hooks|os',
  'The engine does no I/O and starts no threads: take a port.',
);
const fileModules = moduleGroup(
  'fs',
  'Files belong to state-stores/level*.ts, connectors/embedded/, api/, program/ and main.ts.',
);
const kafkaModules = { regex: '^kafkajs(/.*)?$', message: 'kafkajs belongs to connectors/kafka/ only.' };
const randomCrypto = {
  regex: '^(node:)?crypto$',
  importNamePattern: '^(random|generate|webcrypto$|getRandomValues$)',
  message: 'Chance reaches the engine through the Random of clock.ts.',
};

const noImports = (...patterns) => ({ 'no-restricted-imports': ['error', { patterns }] });

const syntaxBans = [
  { selector: 'ExportDefaultDeclaration', message: 'Name what you export: no default exports.' },
  { selector: 'ExportAllDeclaration', message: 'Name what you export: no `export *`.' },
  { selector: 'TSEnumDeclaration', message: 'No enums: a union of literals, or a const object.' },
  { selector: 'TSModuleDeclaration[kind="namespace"]', message: 'No namespaces: a module is one.' },
];

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'bench/build/', '.cache/', '.data/', 'docs/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      complexity: ['error', 10],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      'max-lines': ['error', { max: 400 }],
      'no-restricted-syntax': ['error', ...syntaxBans],
      eqeqeq: 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Ports return promises; an async method that waits for nothing still turns a throw into a rejection.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // `while (true)` with a return inside says what it means.
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      ...noImports(kafkaModules),
    },
  },
  {
    files: engine,
    rules: {
      'no-restricted-globals': ['error', ...ambientGlobals],
      'no-restricted-properties': ['error', ...ambientProperties],
      ...noImports(kafkaModules, ambientModules, fileModules, randomCrypto),
    },
  },
  { files, rules: noImports(kafkaModules, ambientModules, randomCrypto) },
  { files: kafka, rules: noImports(ambientModules, fileModules, randomCrypto) },
  { files: ['api/**/*.ts', 'program/**/*.ts', 'commands/**/*.ts', 'main.ts'], rules: noImports(kafkaModules) },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'max-lines': 'off',
      'max-lines-per-function': 'off',
      'no-restricted-imports': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.cjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        performance: 'readonly',
        URL: 'readonly',
        module: 'writable',
        require: 'readonly',
      },
    },
  },
);
