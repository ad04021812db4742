import java.time.Duration;
import java.util.List;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindowedKStream;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.WindowStore;

/** Aggregations of streams: plain, windowed and of several streams at once. */
final class WindowKinds {
  private final Kit kit;
  private final Functions functions;

  WindowKinds(Kit kit) {
    this.kit = kit;
    functions = kit.functions;
  }

  @SuppressWarnings({"unchecked", "rawtypes"})
  void build(String kind) {
    if (kind.equals("cogroup")) {
      cogroup();
      return;
    }
    if (kind.endsWith("+table-table-join")) {
      KTable first = windowed("topic1", "left-windows");
      KTable second = windowed("topic2", "right-windows");
      Functions.Of joiner = functions.get("joiner", "left", "right");
      kit.watch("out", first);
      kit.watch("out1", second);
      kit.watch("out2", first.join(second, (a, b) -> joiner.call(a, b)));
      return;
    }
    KTable table = windowed(kit.onlyTopic(), Kit.watchedStore);
    if (!kind.startsWith("suppress-final")) {
      kit.watch("out", table);
      return;
    }
    kit.watch("suppressed", table.suppress((Suppressed) Suppressed.untilWindowCloses(BufferConfig.unbounded())));
    kit.watch("raw", table);
  }

  void aggregateStream(String topic) {
    kit.watch("out", aggregated(topic));
  }

  KTable<?, ?> aggregated(String topic) {
    KGroupedStream<Object, Object> groups;
    Serde<Object> keys = kit.keySerde(topic);
    if (functions.has("groupBy")) {
      keys = Values.madeKey();
      Functions.Of groupBy = functions.get("groupBy", "key", "value");
      groups = kit.stream(topic).groupBy((k, v) -> groupBy.call(k, v), Grouped.with(keys, kit.valueSerde(topic)));
    } else groups = kit.stream(topic).groupByKey();
    Materialized<Object, Object, KeyValueStore<Bytes, byte[]>> store = kit.materialized(Kit.watchedStore, "", keys, Values.any());
    if (kit.isFlushed()) store = store.withCachingEnabled();
    if (functions.isCount()) {
      Materialized<Object, Long, KeyValueStore<Bytes, byte[]>> counts = Materialized.as(Kit.watchedStore);
      counts = counts.withKeySerde(keys);
      return groups.count(kit.isFlushed() ? counts.withCachingEnabled() : counts.withCachingDisabled());
    }
    if (functions.has("reducer")) return groups.reduce(functions.get("reducer", "a", "b")::call, store);
    return groups.aggregate(initializer(), functions.get("aggregator", "key", "value", "agg")::call, store);
  }

  KTable<?, ?> windowed(String topic, String store) {
    KGroupedStream<Object, Object> groups = kit.stream(topic).groupByKey();
    Serde<Object> keys = kit.keySerde(topic);
    EmitStrategy emit =
        kit.params.path("emit").asText().equals("close") ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
    if (isSession()) {
      SessionWindowedKStream<Object, Object> windowed = groups.windowedBy(sessions()).emitStrategy(emit);
      if (functions.isCount()) return windowed.count(this.<Long, SessionStore<Bytes, byte[]>>store(store, keys, null));
      if (functions.has("reducer"))
        return windowed.reduce(functions.get("reducer", "a", "b")::call, this.<Object, SessionStore<Bytes, byte[]>>store(store, keys, Values.any()));
      Functions.Of merger = functions.get("merger", "key", "a", "b");
      return windowed.aggregate(initializer(), functions.get("aggregator", "key", "value", "agg")::call, merger::call, this.<Object, SessionStore<Bytes, byte[]>>store(store, keys, Values.any()));
    }
    TimeWindowedKStream<Object, Object> windowed =
        (isSliding() ? groups.windowedBy(sliding()) : groups.windowedBy(times())).emitStrategy(emit);
    if (functions.isCount()) return windowed.count(this.<Long, WindowStore<Bytes, byte[]>>store(store, keys, null));
    if (functions.has("reducer"))
      return windowed.reduce(functions.get("reducer", "a", "b")::call, this.<Object, WindowStore<Bytes, byte[]>>store(store, keys, Values.any()));
    return windowed.aggregate(initializer(), functions.get("aggregator", "key", "value", "agg")::call, this.<Object, WindowStore<Bytes, byte[]>>store(store, keys, Values.any()));
  }

  private void cogroup() {
    List<String> topics = functions.aggregatedTopics();
    CogroupedKStream<Object, Object> groups = null;
    for (String topic : topics) {
      Functions.Of aggregator = functions.aggregator(topic);
      KGroupedStream<Object, Object> group = kit.stream(topic).groupByKey();
      groups = groups == null ? group.cogroup(aggregator::call) : groups.cogroup(group, aggregator::call);
    }
    Serde<Object> keys = kit.keySerde(topics.get(0));
    if (!kit.params.has("windows"))
      kit.watch("out", groups.aggregate(initializer(), kit.materialized(Kit.watchedStore, "", keys, Values.any())));
    else if (isSession()) {
      Functions.Of merger = functions.get("merger", "key", "a", "b");
      kit.watch("out", groups.windowedBy(sessions()).aggregate(initializer(), merger::call, this.<Object, SessionStore<Bytes, byte[]>>store(Kit.watchedStore, keys, Values.any())));
    } else
      kit.watch("out", (isSliding() ? groups.windowedBy(sliding()) : groups.windowedBy(times())).aggregate(initializer(), this.<Object, WindowStore<Bytes, byte[]>>store(Kit.watchedStore, keys, Values.any())));
  }

  private org.apache.kafka.streams.kstream.Initializer<Object> initializer() {
    Functions.Of initial = functions.get("initializer");
    return () -> initial.call();
  }

  private <V, S extends StateStore> Materialized<Object, V, S> store(String name, Serde<Object> keys, Serde<V> values) {
    Materialized<Object, V, S> store = Materialized.<Object, V, S>as(name).withKeySerde(keys);
    store = kit.isFlushed() ? store.withCachingEnabled() : store.withCachingDisabled();
    if (values != null) store = store.withValueSerde(values);
    return kit.params.hasNonNull("retentionMs") ? store.withRetention(kit.millis("retentionMs")) : store;
  }

  private boolean isSession() {
    return kit.params.path("windows").asText().equals("session");
  }

  private boolean isSliding() {
    return kit.params.path("windows").asText().equals("sliding");
  }

  private TimeWindows times() {
    TimeWindows windows = TimeWindows.ofSizeAndGrace(kit.millis("sizeMs"), kit.millis("graceMs"));
    return kit.params.hasNonNull("advanceMs") ? windows.advanceBy(kit.millis("advanceMs")) : windows;
  }

  private SlidingWindows sliding() {
    return SlidingWindows.ofTimeDifferenceAndGrace(kit.millis("timeDifferenceMs"), kit.millis("graceMs"));
  }

  private SessionWindows sessions() {
    return SessionWindows.ofInactivityGapAndGrace(kit.millis("gapMs"), kit.millis("graceMs"));
  }
}
