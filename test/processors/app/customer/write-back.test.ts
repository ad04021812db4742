import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { SourceSystem } from '../../../../schemas/app/customer/fields.ts';
import type { CustomerMerged } from '../../../../schemas/app/customer/merged.ts';
import { defaultPolicy, withFieldPolicy, type CustomerPolicy } from '../../../../schemas/app/customer/policy.ts';
import { changesOf, writeBackOf } from '../../../../processors/app/customer/write-back.ts';
import { IdentityFold, MergeFold } from '../../../support/customer/fold.ts';
import { polled } from '../../../support/customer/records.ts';

const email = 'ann@x.test';
const systems = ['system_a', 'system_b'] as const;

const other: Readonly<Record<SourceSystem, SourceSystem>> = { system_a: 'system_b', system_b: 'system_a' };

/** Two systems whose users edit one customer, and everything that comes of it, one step of any part at a time. */
class World {
  readonly rows: Record<SourceSystem, Record<string, string>> = {
    system_a: { id: '1', email, updated_at: '' },
    system_b: { uuid: 'b1', email, updated_at: '' },
  };
  readonly #told: Record<SourceSystem, object[]> = { system_a: [], system_b: [] };
  readonly #identity = new IdentityFold();
  readonly #merge: MergeFold;
  /** How many merged records each writer has dealt with. */
  readonly #seen = { system_a: 0, system_b: 0 };
  readonly #aheadMs: Readonly<Record<SourceSystem, number>>;
  #nowMs = Date.UTC(2026, 0, 1);
  writes = 0;
  /** What users last made of each column, where they made it another value. */
  readonly lastEdits: Record<string, string> = {};

  constructor(policy: CustomerPolicy, aheadMsOfB: number) {
    this.#merge = new MergeFold(policy);
    this.#aheadMs = { system_a: 0, system_b: aheadMsOfB };
    for (const system of systems) this.change(system, { name: `Ann of ${system}` });
  }

  get merged(): readonly (CustomerMerged | null)[] {
    return this.#merge.published.get(email) ?? [];
  }

  edit(system: SourceSystem, column: string, value: string): void {
    if (this.rows[system][column] !== value) this.lastEdits[column] = value;
    this.change(system, { [column]: value });
  }

  change(system: SourceSystem, columns: Readonly<Record<string, string>>): void {
    this.#nowMs += 1_000;
    const at = new Date(this.#nowMs + this.#aheadMs[system]).toISOString();
    this.#told[system].push({ ...Object.assign(this.rows[system], columns, { updated_at: at }) });
  }

  /** False if there was nothing to do. */
  capture(system: SourceSystem): boolean {
    const row = this.#told[system].shift() as Record<string, string> | undefined;
    if (row === undefined) return false;
    const { updated_at: lastUpdated = '', id = 'b1', uuid: _, ...fields } = row;
    const change = polled({ source: system, id, lastUpdated, fields });
    for (const contribution of this.#identity.apply(change)) this.#merge.apply({ contribution });
    return true;
  }

  pin(name: string): void {
    const decision = {
      email,
      action: 'PIN_VALUE',
      field: 'name',
      value: name,
      actorId: 'eve',
      reason: '',
      at: 1,
    } as const;
    this.#merge.apply({ override: { email, overrides: [decision] } });
  }

  async writeBack(system: SourceSystem): Promise<boolean> {
    const customer = this.merged[this.#seen[system]];
    if (customer === undefined) return false;
    this.#seen[system] += 1;
    const writeBack = customer === null ? undefined : writeBackOf(customer, system);
    if (writeBack === undefined) return true;
    const find = (): Promise<object> => Promise.resolve(this.rows[other[system]]);
    const wanted = await changesOf(writeBack, this.rows[system], find);
    if (typeof wanted === 'string') return true;
    this.change(system, wanted);
    this.writes += 1;
    return true;
  }

  /** Until nothing is left to do; false if that does not end. */
  async settle(): Promise<boolean> {
    for (let step = 0; step < 1_000; step += 1) {
      let isDone = true;
      for (const system of systems)
        for (const did of [this.capture(system), await this.writeBack(system)]) isDone &&= !did;
      if (isDone) return true;
    }
    return false;
  }

  async act({ kind, system, column, value }: Step): Promise<void> {
    if (kind === 'edit') this.edit(system, column, value);
    else if (kind === 'capture') this.capture(system);
    else await this.writeBack(system);
  }
}

interface Step {
  readonly kind: 'edit' | 'capture' | 'write';
  readonly system: SourceSystem;
  readonly column: string;
  readonly value: string;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('edit', 'capture', 'capture', 'write', 'write'),
  system: fc.constantFrom(...systems),
  column: fc.constantFrom('name', 'address'),
  value: fc.constantFrom('Ann', 'Anna', 'Hanna', 'ANNA'),
});

const policies: fc.Arbitrary<CustomerPolicy> = fc
  .constantFrom('recency' as const, 'priority' as const, 'completeness' as const, 'aggregate' as const)
  .map((strategy) => {
    const changed = { ...defaultPolicy.name, strategy: [strategy] };
    return withFieldPolicy(withFieldPolicy(defaultPolicy, 'name', changed), 'address', changed);
  });

describe('merged values, written back to both systems', () => {
  test('come to an end when users stop, whatever the order, the clocks and the policy, and then no conflict is left', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        policies,
        fc.integer({ min: -20_000, max: 20_000 }),
        fc.option(fc.constantFrom('Pinned', 'anna')),
        async (steps, policy, aheadMs, pin) => {
          const world = new World(policy, aheadMs);
          for (const one of steps) await world.act(one);
          if (pin !== null) world.pin(pin);
          expect(await world.settle()).toBe(true);
          const joins = policy.name.strategy.includes('aggregate');
          if (!joins) expect(world.merged.at(-1)?.conflicts).toEqual({});
          const names = systems.map((system) => world.rows[system]['name']?.toLowerCase());
          if (pin !== null) expect(names).toEqual([pin.toLowerCase(), pin.toLowerCase()]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('lose no edit, however late it is told on either side: what users did last stays', async () => {
    const recency = { ...defaultPolicy.name, strategy: ['recency' as const] };
    const policy = withFieldPolicy(withFieldPolicy(defaultPolicy, 'name', recency), 'address', recency);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = new World(policy, 0);
        for (const one of steps) await world.act(one);
        expect(await world.settle()).toBe(true);
        for (const [column, value] of Object.entries(world.lastEdits))
          expect([column, value.toLowerCase()]).toEqual([column, world.rows.system_b[column]?.toLowerCase()]);
      }),
      { numRuns: 500 },
    );
  });

  test('lose no value that was put back where it was', async () => {
    const world = new World(defaultPolicy, 0);
    const before = world.rows.system_a['name'] ?? '';
    for (const system of systems) world.capture(system);
    for (const name of ['Hanna', before]) world.edit('system_a', 'name', name);
    expect(await world.settle()).toBe(true);
    expect(systems.map((system) => world.rows[system]['name'])).toEqual([before, before]);
  });

  test('after an edit that both have come to know, nothing more is written', async () => {
    const world = new World(defaultPolicy, 0);
    expect(await world.settle()).toBe(true);
    expect([world.rows.system_a['name'], world.rows.system_b['name'], world.writes]).toEqual([
      'Ann of system_b',
      'Ann of system_b',
      1,
    ]);
    world.edit('system_a', 'name', 'Hanna');
    expect(await world.settle()).toBe(true);
    expect([world.rows.system_b['name'], world.writes]).toEqual(['Hanna', 2]);
  });

  test('are not written where the system knows the customer by several records', () => {
    const world = new World(defaultPolicy, 0);
    for (const system of systems) world.capture(system);
    const merged = world.merged.at(-1)!;
    expect(writeBackOf(merged, 'system_a')).toMatchObject({ id: '1', fields: [{ field: 'name' }] });
    expect(writeBackOf({ ...merged, duplicates: { system_a: ['a:1', 'a:2'] } }, 'system_a')).toBeUndefined();
    expect(writeBackOf(merged, 'system_b')).toBeUndefined();
  });
});
