import type { AnyStream, Kit } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import type { Kinds } from './kinds.ts';

export const streams: Kinds = {
  'stream-stream-inner': (kit) => {
    kit.out('out', left(kit).joinStream('joined', right(kit), how(kit)));
  },
  'stream-stream-left': (kit) => {
    kit.out('out', left(kit).leftJoinStream('joined', right(kit), how(kit)));
  },
  'stream-stream-outer': (kit) => {
    kit.out('out', left(kit).outerJoinStream('joined', right(kit), how(kit)));
  },
  'stream-stream-self': (kit) => {
    const stream = left(kit);
    kit.out('out', stream.joinStream('joined', stream, how(kit)));
  },
  'stream-stream-inner-multi': (kit) => {
    const other = right(kit);
    const once = left(kit).joinStream('once', other, how(kit)).withSerdes({ valueSerde: anySerde });
    kit.out('out', once.joinStream('twice', other, how(kit)));
  },
  'stream-globaltable-inner': (kit) => {
    globalJoin(kit, false);
  },
  'stream-globaltable-left': (kit) => {
    globalJoin(kit, true);
  },
};

function left(kit: Kit): AnyStream {
  return kit.stream('left', kit.params.leftOps);
}

function right(kit: Kit): AnyStream {
  return kit.stream('right', kit.params.rightOps);
}

function how(kit: Kit) {
  const { beforeMs = 0, afterMs = 0, graceMs = 0 } = kit.params;
  return { joiner: kit.functions.get('joiner'), windows: { beforeMs, afterMs, graceMs } };
}

function globalJoin(kit: Kit, isLeft: boolean): void {
  const { globalTopic = 'right' } = kit.params;
  const table = kit.t.globalTable(kit.topic(globalTopic));
  const mapper = kit.functions.get('keyMapper');
  const join = { key: (value: unknown, key: unknown) => mapper(key, value), joiner: kit.functions.get('joiner') };
  const stream = left(kit);
  kit.out('out', isLeft ? stream.leftJoinGlobal('joined', table, join) : stream.joinGlobal('joined', table, join));
}
