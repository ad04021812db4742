import { writeSync } from 'node:fs';
import { relative } from 'node:path';

/** Prints why suites were skipped and, as the last line of the whole process, one sum over all suites. */
export default class SummaryReporter {
  #error;

  onRunComplete(_contexts, results) {
    const unavailable = process.env['RIVULET_KAFKA_SKIPPED'];
    const isRequired = process.env['RIVULET_REQUIRE_KAFKA'] === '1';
    if (unavailable !== undefined && isRequired) this.#error = new Error(`Kafka is required: ${unavailable}`);

    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    const lines = [
      ...skippedSuites(results).map((path) => `skipped: ${path}${reasonOf(path, unavailable)}`),
      ...(this.#error === undefined ? [] : [this.#error.message]),
      `${String(results.numPassedTests)} passed, ${String(failed)} failed, ${String(skipped)} skipped`,
    ];
    // On exit, because Jest itself still prints after the reporters are done.
    process.once('exit', () => {
      writeSync(1, `${lines.join('\n')}\n`);
    });
  }

  /** An error here fails the run although no test failed. */
  getLastError() {
    return this.#error;
  }
}

function skippedSuites(results) {
  return results.testResults
    .filter(
      (suite) => suite.skipped || (suite.numPendingTests > 0 && suite.numPassingTests + suite.numFailingTests === 0),
    )
    .map((suite) => relative(process.cwd(), suite.testFilePath));
}

function reasonOf(path, unavailable) {
  if (path.endsWith('.broker.test.ts') && unavailable !== undefined) return `: ${unavailable}`;
  return ': every test in it is marked skip';
}
