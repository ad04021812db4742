import { describe, expect, test } from '@jest/globals';
import { systemClock, type Clock } from '../../clock.ts';
import { createProgress } from '../../program/progress.ts';
import { createTerminal } from '../../program/terminal.ts';
import type { InstanceView, MetricSample, TaskStatus } from '../../topology/runtime/view.ts';
import { FakeCluster, FakeInstance } from '../api/fake-instance.ts';

let nowMs = 0;
const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };

function terminalOf(options: { isTTY: boolean; columns?: number }): {
  terminal: ReturnType<typeof createTerminal>;
  text: () => string;
} {
  const written: string[] = [];
  const output = { ...options, write: (text: string) => written.push(text) };
  return { terminal: createTerminal(output, clock), text: () => written.splice(0).join('') };
}

describe('the terminal', () => {
  test('rewrites its last line, and keeps it below lines that stay', () => {
    const { terminal, text } = terminalOf({ isTTY: true });
    terminal.line('started');
    terminal.status('one');
    terminal.status('two');
    terminal.line('event');
    terminal.around(() => undefined);
    terminal.close();
    const erase = '\r\u001b[2K';
    expect(text()).toBe(`started\none${erase}two${erase}event\ntwo${erase}two\n`);
  });

  test('cuts the status to the width of the terminal', () => {
    const { terminal, text } = terminalOf({ isTTY: true, columns: 10 });
    terminal.status('x'.repeat(100));
    expect(text()).toBe('x'.repeat(9));
  });

  test('elsewhere prints plain lines, and the status now and then if it changed', () => {
    nowMs = 0;
    const { terminal, text } = terminalOf({ isTTY: false });
    terminal.line('started');
    terminal.status('one');
    terminal.status('two');
    nowMs = 6_000;
    terminal.status('one');
    terminal.status('three');
    nowMs = 12_000;
    terminal.status('three');
    terminal.close();
    expect(text()).toBe('started\none\nthree\n');
  });

  test.each([true, false])('shows nothing that moves the cursor or hides (terminal: %s)', (isTTY) => {
    const { terminal, text } = terminalOf({ isTTY });
    terminal.line('a\u001b[2Jb\nc\u202ed\u0000e\u2028f\u009bg');
    expect(text()).toBe('a [2Jb c d e f g\n');
  });
});

describe('progress', () => {
  const consumed = (value: number): MetricSample => ({
    name: 'rivulet_records_consumed_total',
    help: '',
    type: 'counter',
    labels: {},
    value,
  });

  test('sums up tasks, records, their rate and the lag', () => {
    nowMs = 1_000;
    const instance = new FakeInstance(new FakeCluster({ partitions: 2 }), 'one');
    const progress = createProgress([instance], clock);
    instance.samples = [consumed(1_000), consumed(500)];
    expect(progress()).toBe('running · 2 tasks · 1,500 records · 0/s');
    nowMs = 3_000;
    instance.samples = [consumed(11_000), consumed(500)];
    expect(progress()).toBe('running · 2 tasks · 11,500 records · 5,000/s');
    nowMs = 4_000;
    instance.samples = [];
    expect(progress()).toBe('running · 2 tasks · 0 records · 0/s');
  });

  test('tells how far restoring is', () => {
    const restoring: TaskStatus = {
      id: '0_1',
      state: 'restoring',
      inputs: [],
      stores: [],
      restore: { restored: 30, total: 90 },
    };
    const running: TaskStatus = {
      id: '0_0',
      state: 'running',
      inputs: [{ topic: 'input', partition: 0, offset: 5, lag: 1_234 }],
      stores: [],
    };
    const base = new FakeInstance(new FakeCluster(), 'one');
    const view: InstanceView = Object.assign(Object.create(base) as InstanceView, {
      state: 'rebalancing',
      tasks: () => [running, restoring],
      metrics: () => [],
    });
    expect(createProgress([view], clock)()).toBe(
      'rebalancing · 1 of 2 tasks, restoring 33 % · 0 records · 0/s · lag 1,234',
    );
    expect(createProgress([], clock)()).toBe('starting · 0 tasks · 0 records · 0/s');
  });
});
