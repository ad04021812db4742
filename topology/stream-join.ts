/** Declares joins of two streams: a step and a store for each side, and a store of what waits for its window to close. */
import { bytesSerde, type Serde } from '../schemas/serde.ts';
import {
  retentionOf,
  selfJoin,
  streamJoinSide,
  type JoinWindows,
  type StreamJoinSide,
} from '../processors/stream-join.ts';
import { passThrough } from '../processors/stateless.ts';
import { unjoinedSerde, type Side } from '../processors/unjoined-rows.ts';
import { defineStore, type AnyStoreSpec } from '../state-stores/spec.ts';
import { defineWindowStore } from '../state-stores/window-spec.ts';
import type { Declaration } from './declaration.ts';
import type { StreamState } from './handle-state.ts';
import { byKey, requireSerdes } from './repartition.ts';

export interface StreamJoinStep {
  readonly name: string;
  readonly what: string;
  readonly windows: JoinWindows;
  readonly joiner: StreamJoinSide['joiner'];
  /** Whose records have a result without a counterpart. */
  readonly outer: Readonly<Record<Side, boolean>>;
}

type AnyStream = StreamState<unknown, unknown>;

/** The joined stream. */
export function declareStreamJoin(left: AnyStream, right: AnyStream, step: StreamJoinStep): AnyStream {
  checkWindows(left.declaration, step);
  if (left.node === right.node && !step.outer.left && !step.outer.right) return declareSelfJoin(left, step);
  const { declaration } = left;
  const { name, what, windows, outer } = step;
  const sides = {
    left: byKey(left, { name: `${name}-left`, what }),
    right: byKey(right, { name: `${name}-right`, what }),
  };
  const { key } = requireSerdes(name, sides.left);
  const serdes = { key, left: requireSerdes(name, sides.left).value, right: requireSerdes(name, sides.right).value };
  const isOuter = outer.left || outer.right;
  const stores = {
    left: rowStore(`${name}-this-join-store`, { key, value: serdes.left }, windows),
    right: rowStore(`${name}-other-join-store`, { key, value: serdes.right }, windows),
  };
  const unjoined = isOuter
    ? defineStore(`${name}-${outer.right ? 'outer' : 'left'}-shared-join-store`, {
        key: bytesSerde,
        value: unjoinedSerde,
        ordered: true,
      })
    : undefined;
  const shared: readonly AnyStoreSpec[] = unjoined === undefined ? [] : [unjoined];
  const rows = { left: stores.left.name, right: stores.right.name };
  const nodes = (['left', 'right'] as const).map((side) =>
    declaration.processor({
      name: declaration.stepName('KSTREAM-JOIN', `${name}-join-${side === 'left' ? 'this' : 'other'}`),
      what,
      parents: [sides[side].node],
      create: streamJoinSide({
        ...step,
        step: name,
        side,
        isOuter: outer[side],
        serdes,
        rows,
        unjoined: unjoined?.name,
      }),
      stores: [stores.left, stores.right, ...shared],
      onError: left.onError,
      takesNullKeys: isOuter,
    }),
  );
  const node = declaration.processor({
    name: declaration.stepName('KSTREAM-MERGE', name),
    what,
    parents: nodes,
    create: passThrough(),
    onError: left.onError,
  });
  return { ...sides.left, node, value: undefined };
}

function declareSelfJoin(stream: AnyStream, { name, what, windows, joiner }: StreamJoinStep): AnyStream {
  const keyed = byKey(stream, { name: `${name}-left`, what });
  const { declaration, onError } = keyed;
  const { key, value } = requireSerdes(name, keyed);
  const store = rowStore(`${name}-this-join-store`, { key, value }, windows);
  const node = declaration.processor({
    name: declaration.stepName('KSTREAM-JOIN', name),
    what,
    parents: [keyed.node],
    create: selfJoin({ step: name, windows, joiner, rows: store.name }),
    stores: [store],
    onError,
  });
  return { ...keyed, node, value: undefined };
}

/** The records of one side: each is a window of no length, which begins at its time. */
function rowStore(
  name: string,
  serdes: { readonly key: Serde<unknown>; readonly value: Serde<unknown> },
  windows: JoinWindows,
) {
  return defineWindowStore(name, { ...serdes, retentionMs: retentionOf(windows), sizeMs: 0, keepsDuplicates: true });
}

function checkWindows(declaration: Declaration, { name, windows }: StreamJoinStep): void {
  const { beforeMs, afterMs, graceMs } = windows;
  if (![beforeMs, afterMs, graceMs].every(Number.isSafeInteger) || graceMs < 0 || beforeMs + afterMs < 0)
    throw declaration.refuse(name, 'needs windows in whole milliseconds that are not empty, and a grace of at least 0');
}
