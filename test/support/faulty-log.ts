/** A log that fails on request, around a real one. */
import { systemClock } from '../../clock.ts';
import type { StreamError } from '../../errors.ts';
import type {
  Admin,
  Log,
  OutgoingBatch,
  PartitionOffsets,
  Producer,
  ReadFailure,
  Reader,
} from '../../connectors/log.ts';

/** What fails now; may be changed at any time. What throws makes the call reject. */
export interface LogFaults {
  /** Instead of reading: why nothing can be read. */
  unreadable?: () => readonly ReadFailure[] | undefined;
  /** What is told of the offsets of a partition of `topic`. */
  toldOffsets?: (topic: string, offsets: PartitionOffsets) => PartitionOffsets;
  beforeSend?: (batches: readonly OutgoingBatch[]) => void;
  beforeCommit?: () => void;
  /** The transaction is committed, and its producer does not learn of it. */
  afterCommit?: () => void;
  /** Set by the log: tells the owner of a member that membership is lost. */
  expel?: (reason: StreamError) => Promise<void>;
}

/** Time between two polls that fail: an instance must not spin over them. */
const failedPollMs = 20;

export function faultyLog(log: Log, faults: LogFaults): Log {
  return {
    admin: faultyAdmin(log.admin, faults),
    reader: (options) => faultyReader(log.reader(options), faults),
    producer: async (options) => faultyProducer(await log.producer(options), faults),
    member: (options, listener) => {
      faults.expel = (reason) => listener.lost(reason);
      return log.member(options, listener);
    },
    close: () => log.close(),
  };
}

function faultyAdmin(admin: Admin, faults: LogFaults): Admin {
  const offsets: Admin['offsets'] = async (partitions) => {
    const found = await admin.offsets(partitions);
    return found.map((range, index) => faults.toldOffsets?.(partitions[index]?.topic ?? '', range) ?? range);
  };
  return new Proxy(admin, {
    get: (target, name) => {
      const member: unknown = name === 'offsets' ? offsets : Reflect.get(target, name);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}

function faultyReader(reader: Reader, faults: LogFaults): Reader {
  return {
    seek: (at, offset) => {
      reader.seek(at, offset);
    },
    remove: (at) => {
      reader.remove(at);
    },
    pause: (at) => {
      reader.pause(at);
    },
    resume: (at) => {
      reader.resume(at);
    },
    position: (at) => reader.position(at),
    poll: async (waitMs) => {
      const failures = faults.unreadable?.();
      if (failures === undefined) return await reader.poll(waitMs);
      await systemClock.sleep(failedPollMs);
      return { batches: [], failures };
    },
    wakeup: () => {
      reader.wakeup();
    },
    close: () => reader.close(),
  };
}

function faultyProducer(producer: Producer, faults: LogFaults): Producer {
  return {
    begin: () => {
      producer.begin();
    },
    send: async (batches) => {
      faults.beforeSend?.(batches);
      return await producer.send(batches);
    },
    sendOffsets: (offsets, group) => producer.sendOffsets(offsets, group),
    commit: async () => {
      faults.beforeCommit?.();
      await producer.commit();
      faults.afterCommit?.();
    },
    abort: () => producer.abort(),
    close: () => producer.close(),
  };
}
