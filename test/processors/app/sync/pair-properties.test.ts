import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sides, type EntityName, type Side } from '../../../../schemas/app/sync/entities.ts';
import type { Values } from '../../../../schemas/app/sync/values.ts';
import { SyncModel, type AppModel, type ModelOptions } from '../../../support/sync/model.ts';

type Deed = 'insert' | 'update' | 'delete' | 'copy' | 'again' | 'replay' | 'snapshot' | 'repeat' | 'idle';

interface Action {
  readonly deed: Deed;
  readonly side: Side;
  readonly entity: EntityName;
  readonly pick: number;
  readonly value: number;
  readonly steps: number;
}

const deeds: readonly Deed[] = [
  'insert',
  'update',
  'update',
  'update',
  'delete',
  'copy',
  'again',
  'replay',
  'snapshot',
  'repeat',
  'idle',
];
const models: readonly AppModel[] = ['keeps the flag', 'resets the flag', 'writes an old stamp back'];

const actions = fc.array(
  fc.record({
    deed: fc.constantFrom(...deeds),
    side: fc.constantFrom(...sides),
    entity: fc.constantFrom<EntityName>('user', 'user', 'post'),
    pick: fc.nat(5),
    value: fc.nat(9),
    steps: fc.nat(12),
  }),
  { maxLength: 60 },
);
const options = fc.record({
  seed: fc.integer(),
  apps: fc.record({ legacy: fc.constantFrom(...models), revamp: fc.constantFrom(...models) }),
  skew: fc.record({ legacy: fc.integer({ min: -20, max: 20 }), revamp: fc.integer({ min: -20, max: 20 }) }),
});

function valuesOf(model: SyncModel, { side, entity, pick, value }: Action): Values {
  if (entity === 'user') return { username: `User ${String(value)}`, email: `E${String(pick)}@x.test` };
  const authors = model.ids(side, 'user');
  return {
    title: `Title ${String(value)}`,
    content: `Text ${String(pick)}`,
    author: authors[pick % (authors.length + 1)] ?? null,
  };
}

/** What users, captures and writers do, by its name. `gone`: users that were deleted. */
const acts: Readonly<Record<Deed, (model: SyncModel, gone: Set<string>, action: Action) => void>> = {
  insert: (model, _gone, action) => {
    model.insert(action.side, action.entity, valuesOf(model, action));
  },
  update: (model, _gone, action) => {
    const { side, entity, value } = action;
    const values = Object.entries(valuesOf(model, action));
    const changed = Object.fromEntries(value % 2 === 0 ? values.slice(0, 1) : values);
    withRow(model, action, (id) => model.update(side, entity, id, changed));
  },
  delete: (model, gone, action) => {
    const { side, entity } = action;
    withRow(model, action, (id) => {
      model.delete(side, entity, id);
      if (entity === 'user') gone.add(`${side}:${id}`);
    });
  },
  copy: (model, _gone, action) => {
    withRow(model, action, (id) => model.copy(action.side, action.entity, id));
  },
  again: (model, gone, { side }) => {
    const id = [...gone].find((ref) => ref.startsWith(side))?.slice(side.length + 1);
    if (id !== undefined && !model.ids(side, 'user').includes(id))
      model.insert(side, 'user', { username: 'Back', email: 'back@x.test' }, id);
  },
  replay: (model, _gone, { side }) => model.replayChanges(side),
  snapshot: (model, _gone, { side }) => model.snapshot(side),
  repeat: (model) => model.repeatCommand(),
  idle: () => undefined,
};

function withRow(model: SyncModel, { side, entity, pick }: Action, use: (id: string) => void): void {
  const ids = model.ids(side, entity);
  const id = ids[pick % Math.max(1, ids.length)];
  if (id !== undefined) use(id);
}

/** Users act while the schedule goes on, then they stop; ends when nothing is left to happen. */
function run(given: ModelOptions, list: readonly Action[]): SyncModel {
  const model = new SyncModel(given);
  const gone = new Set<string>();
  for (const action of list) {
    acts[action.deed](model, gone, action);
    for (let step = 0; step < action.steps; step += 1) model.step();
  }
  return settled(model);
}

function settled(model: SyncModel): SyncModel {
  let stepCount = 0;
  while (model.step()) if ((stepCount += 1) > 20_000) throw new Error('it never ends');
  return model;
}

describe('two sides that users change at once', () => {
  test('are equal when users have stopped, whatever the applications do to our flag, in whatever order changes, results and mappings come, and however often', () => {
    fc.assert(
      fc.property(options, actions, (given, list) => {
        const model = run(given, list);

        expect(model.rows('revamp')).toEqual(model.rows('legacy'));
        expect(Object.keys(model.rows('legacy'))).toHaveLength(model.rowCount('legacy'));
        expect(model.ambiguous()).toEqual([]);
      }),
      { numRuns: 1_500 },
    );
  });

  test('are written at most once for each change, on each side', () => {
    fc.assert(
      fc.property(options, actions, (given, list) => {
        const model = run(given, list);

        expect(model.writeCount).toBeLessThanOrEqual(2 * model.changeCount);
      }),
      { numRuns: 500 },
    );
  });

  test('take over what is changed at rest, on whichever side and whatever its clock says', () => {
    fc.assert(
      fc.property(options, actions, fc.constantFrom(...sides), (given, list, side) => {
        const model = run(given, list);
        for (const id of model.ids(side, 'user')) model.update(side, 'user', id, { username: 'At last' });
        settled(model);

        const users = Object.entries(model.rows(side === 'legacy' ? 'revamp' : 'legacy')).filter(([name]) =>
          name.startsWith('user:'),
        );
        expect(users.map(([, { username }]) => username)).toEqual(users.map(() => 'At last'));
        expect(model.rows('revamp')).toEqual(model.rows('legacy'));
      }),
      { numRuns: 500 },
    );
  });

  test('come to rest though their databases rewrite what is written, each in its own way', () => {
    const trigger = { legacy: (text: string) => text.toLowerCase(), revamp: (text: string) => text.toUpperCase() };
    const folded = (rows: Readonly<Record<string, Values>>): unknown =>
      Object.entries(rows).map(([name, values]) => [
        name,
        Object.entries(values).map(([field, value]) => [field, value?.toLowerCase()]),
      ]);
    fc.assert(
      fc.property(options, actions, (given, list) => {
        const model = run({ ...given, trigger }, list);

        expect(folded(model.rows('revamp'))).toEqual(folded(model.rows('legacy')));
        expect(model.writeCount).toBeLessThanOrEqual(2 * model.changeCount);
      }),
      { numRuns: 500 },
    );
  });
});
