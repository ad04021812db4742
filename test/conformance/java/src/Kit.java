import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.internals.AbstractStream;
import org.apache.kafka.streams.kstream.internals.KTableImpl;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** What the builders of the kinds work with. */
final class Kit {
  static final String watchedStore = "watched";

  final JsonNode spec;
  final JsonNode params;
  final Functions functions;
  final StreamsBuilder builder;
  /** What came out since it was last taken, by output. */
  final Map<String, ArrayNode> collected = new LinkedHashMap<>();
  private final List<java.util.function.Consumer<Topology>> afterBuild = new ArrayList<>();

  Kit(JsonNode spec, Functions functions, StreamsConfig config) {
    this.spec = spec;
    params = spec.path("params");
    this.functions = functions;
    builder = new StreamsBuilder(new TopologyConfig(config));
  }

  Topology finish(java.util.Properties properties) {
    Topology topology = builder.build(properties);
    afterBuild.forEach(step -> step.accept(topology));
    return topology;
  }

  Serde<Object> keySerde(String topic) {
    return Values.named(spec.get("types").get(topic).get("key").asText());
  }

  Serde<Object> valueSerde(String topic) {
    return Values.named(spec.get("types").get(topic).get("value").asText());
  }

  String onlyTopic() {
    return spec.get("types").fieldNames().next();
  }

  long number(String name, long fallback) {
    return params.hasNonNull(name) ? params.get(name).asLong() : fallback;
  }

  /** Whether aggregates go on when they are flushed, which the driver does after each record. */
  boolean isFlushed() {
    return params.path("caching").asText().equals("flushed");
  }

  Duration millis(String name) {
    return Duration.ofMillis(number(name, 0));
  }

  boolean isTrue(String name) {
    return params.path(name).asBoolean(false);
  }

  KStream<Object, Object> stream(String topic) {
    return stream(topic, "");
  }

  /** The topic's stream after the operators that the parameter `ops` names. */
  KStream<Object, Object> stream(String topic, String ops) {
    KStream<Object, Object> stream = builder.stream(topic, Consumed.with(keySerde(topic), valueSerde(topic)));
    for (JsonNode op : params.path(ops)) stream = apply(stream, op.asText(), topic);
    return stream;
  }

  private KStream<Object, Object> apply(KStream<Object, Object> stream, String op, String topic) {
    return switch (op) {
      case "map(identity)" -> stream.map(org.apache.kafka.streams.KeyValue::new);
      case "flatMap(identity)" -> stream.flatMap((key, value) -> List.of(new org.apache.kafka.streams.KeyValue<>(key, value)));
      case "selectKey(identity)" -> stream.selectKey((key, value) -> key);
      case "repartition" -> stream.repartition(Repartitioned.with(keySerde(topic), valueSerde(topic)));
      default -> throw new IllegalArgumentException("unknown operator " + op);
    };
  }

  /** A plain table is kept only where a step needs its rows, unless its kind says `kept`. */
  KTable<Object, Object> table(String topic, String kind) {
    if (List.of("versioned", "kept").contains(kind)) return table(topic, kind, topic + "-store");
    Materialized<Object, Object, KeyValueStore<Bytes, byte[]>> asNeeded =
        Materialized.with(keySerde(topic), valueSerde(topic));
    return builder.table(
        topic, Consumed.with(keySerde(topic), valueSerde(topic)), asNeeded.withCachingDisabled());
  }

  KTable<Object, Object> table(String topic, String kind, String store) {
    return builder.table(
        topic, Consumed.with(keySerde(topic), valueSerde(topic)), materialized(store, kind, keySerde(topic), valueSerde(topic)));
  }

  Materialized<Object, Object, KeyValueStore<Bytes, byte[]>> materialized(
      String store, String kind, Serde<Object> key, Serde<Object> value) {
    Materialized<Object, Object, KeyValueStore<Bytes, byte[]>> kept =
        "versioned".equals(kind)
            ? Materialized.as(Stores.persistentVersionedKeyValueStore(store, millis("historyRetentionMs")))
            : Materialized.as(store);
    return kept.withKeySerde(key).withValueSerde(value).withCachingDisabled();
  }

  void out(String name, KStream<?, ?> stream) {
    collected.put(name, Values.json.createArrayNode());
    stream.process(collector(name));
  }

  /** A table's new values, or its changes as they pass inside the library. */
  void watch(String name, KTable<?, ?> table) {
    if (!params.path("output").asText().equals("change")) {
      out(name, table.toStream());
      return;
    }
    collected.put(name, Values.json.createArrayNode());
    if (isTrue("sendOldValues")) ((KTableImpl<?, ?, ?>) table).enableSendingOldValues(true);
    afterBuild.add(topology -> topology.addProcessor("watch-" + name, collector(name), nodeName(table)));
  }

  private <K, V> ProcessorSupplier<K, V, Void, Void> collector(String name) {
    return () -> (Processor<K, V, Void, Void>) (Record<K, V> record) -> {
      ObjectNode output = collected.get(name).addObject();
      output.set("key", Values.show(record.key()));
      output.set("value", Values.show(record.value()));
      output.put("ts", record.timestamp());
      ArrayNode headers = output.putArray("headers");
      for (Header header : record.headers()) headers.addArray().add(header.key()).add(new String(header.value()));
    };
  }

  private static String nodeName(KTable<?, ?> table) {
    try {
      var name = AbstractStream.class.getDeclaredField("name");
      name.setAccessible(true);
      return (String) name.get(table);
    } catch (ReflectiveOperationException error) {
      throw new IllegalStateException(error);
    }
  }
}
