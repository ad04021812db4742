import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KGroupedTable;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.KeyValueMapper;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.ValueJoiner;

/** The topology of each kind of case but for windows and cogroups. */
final class Kinds {
  private final Kit kit;
  private final Functions functions;

  Kinds(Kit kit) {
    this.kit = kit;
    functions = kit.functions;
  }

  void build(String kind) {
    if (kind.startsWith("stream-stream")) streamStream(kind);
    else if (kind.startsWith("stream-table")) streamTable(kind);
    else if (kind.startsWith("stream-globaltable")) streamGlobal(kind.endsWith("left"));
    else if (kind.startsWith("table-table")) tableTable(kind);
    else if (kind.startsWith("fk-")) foreignKey(kind);
    else if (kind.startsWith("window") || kind.equals("cogroup") || kind.startsWith("suppress-final"))
      new WindowKinds(kit).build(kind);
    else if (kind.startsWith("suppress")) suppress(kind);
    else if (kind.equals("chain")) chain();
    else tables(kind);
  }

  private ValueJoiner<Object, Object, Object> joiner(String name) {
    Functions.Of joiner = functions.get(name, "left", "right");
    return joiner::call;
  }

  private void streamStream(String kind) {
    KStream<Object, Object> left = kit.stream("left", "leftOps");
    if (kind.endsWith("self")) {
      kit.out("out", left.join(left, joiner("joiner"), windows(), joined("left", "left")));
      return;
    }
    KStream<Object, Object> right = kit.stream("right", "rightOps");
    StreamJoined<Object, Object, Object> how = joined("left", "right");
    ValueJoiner<Object, Object, Object> joiner = joiner("joiner");
    kit.out(
        "out",
        switch (kind) {
          case "stream-stream-inner" -> left.join(right, joiner, windows(), how);
          case "stream-stream-left" -> left.leftJoin(right, joiner, windows(), how);
          case "stream-stream-outer" -> left.outerJoin(right, joiner, windows(), how);
          case "stream-stream-inner-multi" ->
              left.join(right, joiner, windows(), how)
                  .join(right, joiner, windows(), StreamJoined.with(kit.keySerde("left"), Values.any(), kit.valueSerde("right")));
          default -> throw new IllegalArgumentException(kind);
        });
  }

  private JoinWindows windows() {
    return JoinWindows.ofTimeDifferenceAndGrace(Duration.ZERO, kit.millis("graceMs"))
        .before(kit.millis("beforeMs"))
        .after(kit.millis("afterMs"));
  }

  private StreamJoined<Object, Object, Object> joined(String left, String right) {
    return StreamJoined.with(kit.keySerde(left), kit.valueSerde(left), kit.valueSerde(right));
  }

  private void streamTable(String kind) {
    KStream<Object, Object> left = kit.stream("left", "leftOps");
    Joined<Object, Object, Object> how =
        Joined.with(kit.keySerde("left"), kit.valueSerde("left"), kit.valueSerde("right"));
    if (kind.endsWith("-grace")) how = how.withGracePeriod(kit.millis("joinedGraceMs"));
    String type = kit.params.path("table").asText();
    KTable<Object, Object> right =
        kit.params.path("rightOps").isEmpty()
            ? kit.table("right", type)
            : kit.stream("right", "rightOps")
                .toTable(kit.materialized("right-store", type, kit.keySerde("right"), kit.valueSerde("right")));
    kit.out("out", kind.contains("-left") ? left.leftJoin(right, joiner("joiner"), how) : left.join(right, joiner("joiner"), how));
  }

  private void streamGlobal(boolean isLeft) {
    String topic = kit.params.path("globalTopic").asText("right");
    GlobalKTable<Object, Object> table =
        kit.builder.globalTable(topic, Consumed.with(kit.keySerde(topic), kit.valueSerde(topic)));
    Functions.Of mapper = functions.get("keyMapper", "key", "value");
    KeyValueMapper<Object, Object, Object> byKey = mapper::call;
    KStream<Object, Object> left = kit.stream("left", "leftOps");
    kit.out("out", isLeft ? left.leftJoin(table, byKey, joiner("joiner")) : left.join(table, byKey, joiner("joiner")));
  }

  private void tableTable(String kind) {
    KTable<Object, Object> left = kit.table("left", kit.params.path("left").asText());
    KTable<Object, Object> right = kit.table("right", kit.params.path("right").asText());
    if (kind.endsWith("multi")) {
      JsonNode joins = kit.params.get("joins");
      KTable<Object, Object> once = join(joins.get(0).asText(), left, right, false);
      kit.watch("out", join(joins.get(1).asText(), once, right, true));
      return;
    }
    kit.watch("out", join(kind.substring("table-table-".length()), left, right, kit.isTrue("materialized")));
  }

  private KTable<Object, Object> join(
      String join, KTable<Object, Object> left, KTable<Object, Object> right, boolean isKept) {
    ValueJoiner<Object, Object, Object> joiner = joiner("joiner");
    var store = kit.materialized(Kit.watchedStore, "", kit.keySerde("left"), Values.any());
    return switch (join) {
      case "inner" -> isKept ? left.join(right, joiner, store) : left.join(right, joiner);
      case "left" -> isKept ? left.leftJoin(right, joiner, store) : left.leftJoin(right, joiner);
      default -> isKept ? left.outerJoin(right, joiner, store) : left.outerJoin(right, joiner);
    };
  }

  private void foreignKey(String kind) {
    if (kind.equals("fk-inner-multi")) {
      KTable<Object, Object> once =
          kit.table("table1", "")
              .join(kit.table("table2", ""), extractor("foreignKeyExtractor1"), joiner("joiner1"), kit.materialized("once", "", kit.keySerde("table1"), Values.any()));
      kit.out(
          "out",
          once.join(kit.table("table3", ""), extractor("foreignKeyExtractor2"), joiner("joiner2"), kit.materialized("twice", "", kit.keySerde("table1"), Values.any()))
              .toStream());
      return;
    }
    KTable<Object, Object> left = kit.table("left", kit.params.path("left").asText());
    KTable<Object, Object> right = kit.table("right", kit.params.path("right").asText());
    var store = kit.materialized(Kit.watchedStore, "", kit.keySerde("left"), Values.any());
    ValueJoiner<Object, Object, Object> joiner = joiner("joiner");
    if (kind.equals("fk-inner-chained")) {
      kit.out("out", left.join(left.join(right, extractor("foreignKeyExtractor"), joiner, kit.materialized("joined", "", kit.keySerde("left"), Values.any())), joiner).toStream());
      return;
    }
    KTable<Object, Object> joined =
        kind.equals("fk-left")
            ? left.leftJoin(right, extractor("foreignKeyExtractor"), joiner, store)
            : left.join(right, extractor("foreignKeyExtractor"), joiner, store);
    kit.out("out", joined.toStream());
    if (functions.has("rejoiner")) kit.out("rejoin", joined.join(left, joiner("rejoiner")).toStream());
  }

  private java.util.function.BiFunction<Object, Object, Object> extractor(String name) {
    Functions.Of extract = functions.get(name, "key", "value");
    return extract::call;
  }

  private void suppress(String kind) {
    if (kind.equals("suppress-before-join")) {
      KTable<Object, Object> left = kit.table("left", kit.params.path("left").asText());
      KTable<Object, Object> right = kit.table("right", kit.params.path("right").asText());
      boolean isLeft = kit.params.path("suppressSide").asText().equals("left");
      kit.watch("out", join(kit.params.path("join").asText("inner"), isLeft ? left.suppress(limit()) : left, isLeft ? right : right.suppress(limit()), false));
      return;
    }
    KTable<Object, Object> table = kit.table(kit.onlyTopic(), kit.params.path("table").asText());
    if (kind.equals("suppress-before-groupBy")) {
      kit.watch("out", counted(table.suppress(limit())));
      return;
    }
    KTable<Object, Long> counts = counted(table);
    kit.watch("suppressed", counts.suppress(limit()));
    kit.watch("raw", counts);
  }

  private Suppressed<Object> limit() {
    BufferConfig<?> buffer = BufferConfig.unbounded();
    if (kit.params.hasNonNull("maxRecords") || kit.params.hasNonNull("maxBytes")) {
      var bounded =
          kit.params.hasNonNull("maxRecords")
              ? BufferConfig.maxRecords(kit.number("maxRecords", 0))
              : BufferConfig.maxBytes(kit.number("maxBytes", 0));
      if (kit.params.hasNonNull("maxRecords") && kit.params.hasNonNull("maxBytes"))
        bounded = bounded.withMaxBytes(kit.number("maxBytes", 0));
      buffer = kit.params.path("whenFull").asText().equals("shutDown") ? bounded.shutDownWhenFull() : bounded;
    }
    return Suppressed.untilTimeLimit(Duration.ofMillis(kit.number("untilTimeLimitMs", Long.MAX_VALUE)), buffer);
  }

  private KGroupedTable<Object, Object> grouped(KTable<Object, Object> table, Serde<Object> values) {
    return grouped(table, values, functions.get("groupBy", "key", "value"));
  }

  private KGroupedTable<Object, Object> grouped(KTable<Object, Object> table, Serde<Object> values, Functions.Of groupBy) {
    return table.groupBy(
        (key, value) -> {
          List<?> pair = (List<?>) groupBy.call(key, value);
          return pair == null ? null : KeyValue.pair((Object) pair.get(0), (Object) pair.get(1));
        },
        Grouped.with(Values.madeKey(), values));
  }

  private KTable<Object, Long> counted(KTable<Object, Object> table) {
    // Without a name, as limits in bytes count the name of the repartition topic.
    if (kit.params.hasNonNull("maxBytes")) return grouped(table, Values.any()).count();
    return grouped(table, Values.any())
        .count(org.apache.kafka.streams.kstream.Materialized.<Object, Long, org.apache.kafka.streams.state.KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>>as(Kit.watchedStore).withCachingDisabled());
  }

  private void tables(String kind) {
    String topic = kit.onlyTopic();
    String type = kit.params.path("table").asText();
    Functions.Of none = null;
    Functions.Of predicate = functions.has("predicate") ? functions.get("predicate", "key", "value") : none;
    switch (kind) {
      case "repartition-null-key" -> kit.out("out", kit.stream("left", "leftOps"));
      case "ktable-source", "ktable-source-ooo" -> kit.watch("out", kit.table(topic, type));
      case "ktable-source-store", "ktable-source-ooo-store" -> kit.watch("out", kit.table(topic, type, Kit.watchedStore));
      case "ktable-filter" -> {
        KTable<Object, Object> table = kit.table(topic, type);
        boolean isKept = kit.isTrue("materialized");
        kit.watch("filtered", isKept ? table.filter((k, v) -> isTrue(predicate.call(k, v)), kit.materialized("kept", "", kit.keySerde(topic), kit.valueSerde(topic))) : table.filter((k, v) -> isTrue(predicate.call(k, v))));
        kit.watch("filteredNot", isKept ? table.filterNot((k, v) -> isTrue(predicate.call(k, v)), kit.materialized("left", "", kit.keySerde(topic), kit.valueSerde(topic))) : table.filterNot((k, v) -> isTrue(predicate.call(k, v))));
      }
      case "ktable-mapvalues", "ktable-filter-mapvalues" -> {
        Functions.Of mapper = functions.get("mapper", "key", "value");
        KTable<Object, Object> table = kit.table(topic, type);
        if (predicate != null) table = table.filter((k, v) -> isTrue(predicate.call(k, v)));
        kit.watch(
            "out",
            kit.isTrue("materialized")
                ? table.mapValues((k, v) -> mapper.call(k, v), kit.materialized(Kit.watchedStore, "", kit.keySerde(topic), Values.any()))
                : table.mapValues((k, v) -> mapper.call(k, v)));
      }
      case "to-table" ->
          kit.watch("out", kit.stream(topic, "ops").toTable(kit.materialized(Kit.watchedStore, type, kit.keySerde(topic), kit.valueSerde(topic))));
      case "kstream-aggregate" -> new WindowKinds(kit).aggregateStream(topic);
      default -> aggregateTable(predicate == null ? kit.table(topic, type) : kit.table(topic, type).filter((k, v) -> isTrue(predicate.call(k, v))));
    }
  }

  private void aggregateTable(KTable<Object, Object> table) {
    if (functions.isCount()) {
      kit.watch("out", counted(table));
      return;
    }
    KGroupedTable<Object, Object> groups = grouped(table, Values.any());
    var store = kit.materialized(Kit.watchedStore, "", Values.madeKey(), Values.any());
    if (functions.has("initializer")) {
      Functions.Of initial = functions.get("initializer");
      Functions.Of adder = functions.get("adder", "key", "value", "agg");
      Functions.Of subtractor = functions.get("subtractor", "key", "value", "agg");
      kit.watch("out", groups.aggregate(() -> initial.call(), adder::call, subtractor::call, store));
      return;
    }
    Functions.Of adder = functions.get("adder", "a", "b");
    Functions.Of subtractor = functions.get("subtractor", "a", "b");
    kit.watch("out", groups.reduce(adder::call, subtractor::call, store));
  }

  /** Steps of tables, one after the other: what they do with each other's old values. */
  private void chain() {
    String topic = "input";
    KTable<Object, Object> table = chained(topic);
    int number = 0;
    for (JsonNode step : kit.params.get("steps")) table = step(table, step.asText(), "step-" + number++);
    kit.watch("out", table);
  }

  @SuppressWarnings({"unchecked", "rawtypes"})
  private KTable<Object, Object> chained(String topic) {
    return switch (kit.params.get("source").asText()) {
      case "table" -> kit.table(topic, kit.params.path("table").asText());
      case "toTable" -> kit.stream(topic).toTable(kit.materialized("rows", "", kit.keySerde(topic), kit.valueSerde(topic)));
      case "windows" -> (KTable) new WindowKinds(kit).windowed(topic, Kit.watchedStore);
      default -> (KTable) new WindowKinds(kit).aggregated(topic);
    };
  }

  private KTable<Object, Object> step(KTable<Object, Object> table, String step, String name) {
    Functions.Of predicate = functions.get("predicate", "key", "value");
    Functions.Of mapper = functions.get("mapper", "key", "value");
    ValueJoiner<Object, Object, Object> joiner = joiner("joiner");
    var store = kit.materialized(name, "", kit.keySerde("input"), Values.any());
    return switch (step) {
      case "filter" -> table.filter((k, v) -> isTrue(predicate.call(k, v)));
      case "filter-kept" -> table.filter((k, v) -> isTrue(predicate.call(k, v)), store);
      case "mapValues" -> table.mapValues((k, v) -> mapper.call(k, v));
      case "mapValues-kept" -> table.mapValues((k, v) -> mapper.call(k, v), store);
      case "suppress" -> table.suppress(limit());
      case "join" -> table.join(kit.table("right", ""), joiner);
      case "leftJoin" -> table.leftJoin(kit.table("right", ""), joiner);
      case "outerJoin" -> table.outerJoin(kit.table("right", ""), joiner);
      case "join-kept" -> table.join(kit.table("right", ""), joiner, store);
      case "outerJoin-kept" -> table.outerJoin(kit.table("right", ""), joiner, store);
      case "toTable" -> table.toStream().toTable(store);
      case "groupBy" -> regrouped(table, name);
      default -> throw new IllegalArgumentException("unknown step " + step);
    };
  }

  private KTable<Object, Object> regrouped(KTable<Object, Object> table, String name) {
    Functions.Of initial = functions.get("again");
    Functions.Of adder = functions.get("adder", "key", "value", "agg");
    Functions.Of subtractor = functions.get("subtractor", "key", "value", "agg");
    return grouped(table, Values.any(), functions.get("regroup", "key", "value"))
        .aggregate(() -> initial.call(), adder::call, subtractor::call, kit.materialized(name, "", Values.madeKey(), Values.any()));
  }

  private static boolean isTrue(Object answer) {
    return Boolean.TRUE.equals(answer);
  }
}
