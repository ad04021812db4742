/** @type {import('@swc/core').Config} */
const swc = {
  jsc: { parser: { syntax: 'typescript' }, target: 'es2023', keepClassNames: true },
  module: { type: 'es6' },
  sourceMaps: 'inline',
  swcrc: false,
};

const shared = {
  testEnvironment: 'node',
  transform: { '\\.ts$': ['@swc/jest', swc] },
  extensionsToTreatAsEsm: ['.ts'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/bench/build/', '<rootDir>/\\.cache/', '<rootDir>/\\.data/'],
};

/** @type {import('jest').Config} */
export default {
  // Deadlines inside of tests say what was waited for; this one is for machines that do ten other things.
  testTimeout: 180_000,
  maxWorkers: 2,
  reporters: ['default', '<rootDir>/test/support/summary-reporter.js'],
  projects: [
    {
      ...shared,
      displayName: 'fast',
      testMatch: ['<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: ['\\.broker\\.test\\.ts$'],
    },
    {
      ...shared,
      displayName: 'broker',
      testMatch: ['<rootDir>/test/**/*.broker.test.ts'],
      // Jest runs these only if a broker suite was selected, and once per run.
      globalSetup: '<rootDir>/test/support/kafka-setup.js',
      globalTeardown: '<rootDir>/test/support/kafka-teardown.js',
    },
  ],
};
