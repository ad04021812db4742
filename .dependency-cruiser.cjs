// Who may import whom: errors, clock <- schemas <- state-stores <- processors <- topology <- topology/runtime <- api <- main.
// Connectors stand beside the stores: they know errors, clock and schemas, and the runtime knows them by log.ts alone.
// Each row lists everything a folder may import of ours; what is not listed is forbidden, type imports included.

const base = ['errors\\.ts$', 'clock\\.ts$'];
const schemas = [...base, 'schemas/(?!app/)'];
const stores = [...schemas, 'state-stores/(?!level)'];
const processors = [...stores, 'processors/(?!app/)'];
const topology = [...processors, 'topology/(?!app/|runtime/)'];
const runtime = [...topology, 'topology/runtime/', 'connectors/log\\.ts$'];
const api = [...runtime, 'api/(?!app/)'];

/** [rule name, from, allowed targets] */
const layers = [
  ['errors-and-clock', '^(errors|clock)\\.ts$', base],
  ['json-logger', '^json-logger\\.ts$', base],
  ['schemas', '^schemas/(?!app/)', schemas],
  ['state-stores', '^state-stores/(?!level)', stores],
  ['level', '^state-stores/level', [...schemas, 'state-stores/']],
  [
    'connectors',
    '^connectors/(?!kafka/|embedded/|postgres/|app/)',
    [...schemas, 'connectors/(?!kafka/|embedded/|postgres/|app/)'],
  ],
  ['connectors-postgres', '^connectors/postgres/', [...schemas, 'connectors/(?!kafka/|embedded/|app/)']],
  ['connectors-kafka', '^connectors/kafka/', [...schemas, 'connectors/(?!embedded/|postgres/|app/)']],
  ['connectors-embedded', '^connectors/embedded/', [...schemas, 'connectors/(?!kafka/|postgres/|app/)']],
  ['processors', '^processors/(?!app/)', processors],
  ['topology', '^topology/(?!app/|runtime/)', topology],
  ['runtime', '^topology/runtime/', runtime],
  ['api', '^api/(?!app/)', api],
  ['app', '^(schemas|processors|topology|connectors)/app/', ['index\\.ts$', '[^/]+/app/']],
  ['api-app', '^api/app/', ['index\\.ts$', '[^/]+/app/', 'api/(?!app/)']],
];

const ours = '^(?!node_modules/)[^/].*\\.(ts|js)$';

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    ...layers.map(([name, from, allowed]) => ({
      name: `layer-${name}`,
      comment: `May import of our own files: ${allowed.join(' ')}`,
      severity: 'error',
      from: { path: from },
      to: {
        path: ours,
        pathNot: allowed.map((path) => `^${path}`),
        dependencyTypesNot: ['core', 'npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'],
      },
    })),
    {
      name: 'kafkajs-at-one-place',
      severity: 'error',
      from: { pathNot: '^(connectors/kafka|test|bench)/' },
      to: { path: 'node_modules/kafkajs/' },
    },
    {
      name: 'implementations-are-chosen-at-the-edge',
      comment: 'Kafka, the embedded log, PostgreSQL and Level are named by main.ts and the public entries only.',
      severity: 'error',
      from: {
        pathNot:
          '^(connectors/kafka/|connectors/embedded/|connectors/postgres/|state-stores/level|test/|bench/|(main|index|testing)\\.ts$)',
      },
      to: { path: '^(connectors/(kafka|embedded|postgres)/|state-stores/level)' },
    },
    {
      name: 'engine-knows-no-application',
      severity: 'error',
      from: {
        pathNot: '(^|/)app/|^(main\\.ts$|program/|commands/|test/|bench/)',
      },
      to: { path: '(^|/)app/', pathNot: 'node_modules' },
    },
    {
      name: 'nobody-imports-tests',
      severity: 'error',
      // testing.ts is the public entry to what test/support/ offers to users.
      from: { pathNot: '^(test|bench)/|^testing\\.ts$' },
      to: { path: '^(test|bench)/' },
    },
    {
      name: 'runtime-dependencies-only',
      comment: 'What ships may not need a development dependency.',
      severity: 'error',
      from: { pathNot: '^(test|bench|\\.ci)/|\\.(js|cjs)$' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], pathNot: 'node_modules/@types/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|coverage|bench/build|\\.cache|\\.data)/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
      extensions: ['.ts', '.js', '.d.ts'],
    },
  },
};
