import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.ReadOnlyWindowStore;
import org.apache.kafka.streams.state.ValueAndTimestamp;
import org.apache.kafka.streams.test.TestRecord;
import org.mozilla.javascript.Context;

/** Reads cases from standard input, one in each line, and writes what Kafka Streams makes of each, one in each line. */
public final class Main {
  private static final long defaultTimestampMs = 1_700_000_000_000L;

  private Main() {}

  public static void main(String[] args) throws IOException {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Context context = Context.enter();
      try {
        context.setLanguageVersion(Context.VERSION_ES6);
        context.setOptimizationLevel(-1);
        out.println(Values.json.writeValueAsString(run(Values.json.readTree(line), context)));
      } catch (Exception error) {
        ObjectNode failure = Values.json.createObjectNode();
        failure.put("failed", messages(error));
        out.println(Values.json.writeValueAsString(failure));
      } finally {
        Context.exit();
      }
    }
  }

  private static ObjectNode run(JsonNode spec, Context context) throws IOException {
    Path directory = Files.createTempDirectory("rivulet-conformance-");
    Properties properties = properties(spec, directory);
    Kit kit = new Kit(spec, new Functions(spec.path("functions"), context), new StreamsConfig(properties));
    new Kinds(kit).build(spec.get("kind").asText());
    wallClockMs = 0;
    try (TopologyTestDriver driver = new TopologyTestDriver(kit.finish(properties), properties, Instant.EPOCH)) {
      return observe(kit, driver);
    } finally {
      try (var files = Files.walk(directory)) {
        files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      }
    }
  }

  private static Properties properties(JsonNode spec, Path directory) {
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "dummy-topology-test-driver-app-id-1234567890");
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
    properties.put(StreamsConfig.STATE_DIR_CONFIG, directory.toString());
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, spec.path("params").path("caching").asText().equals("flushed") ? "10000000" : "0");
    properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Values.Default.class);
    long emitEveryMs = spec.path("params").path("emitIntervalMs").asLong(0);
    properties.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_OUTER_JOIN_SPURIOUS_RESULTS_FIX, 0L);
    properties.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION, emitEveryMs);
    if (spec.get("kind").asText().equals("stream-stream-self"))
      properties.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    return properties;
  }

  private static ObjectNode observe(Kit kit, TopologyTestDriver driver) {
    Map<String, TestInputTopic<Object, Object>> topics = new HashMap<>();
    kit.spec.get("types").fieldNames().forEachRemaining(
        name -> topics.put(name, driver.createInputTopic(name, kit.keySerde(name).serializer(), kit.valueSerde(name).serializer())));
    ObjectNode observed = Values.json.createObjectNode();
    ObjectNode outputs = observed.putObject("outputs");
    kit.collected.keySet().forEach(outputs::putArray);
    ArrayNode errors = observed.putArray("errors");
    ArrayNode drops = observed.putArray("drops");
    ArrayNode stores = observed.putArray("stores");
    int step = 0;
    for (JsonNode input : kit.spec.get("input")) {
      try {
        feed(kit, driver, topics, input, step++);
        errors.addNull();
      } catch (RuntimeException error) {
        errors.add(messages(error));
      }
      kit.collected.forEach(
          (name, records) -> {
            ((ArrayNode) outputs.get(name)).add(records.deepCopy());
            records.removeAll();
          });
      drops.add(dropped(driver));
      stores.add(content(driver));
    }
    return observed;
  }

  private static void feed(
      Kit kit, TopologyTestDriver driver, Map<String, TestInputTopic<Object, Object>> topics, JsonNode input, int step) {
    if (input.has("advanceWallClockTo")) {
      long to = input.get("advanceWallClockTo").asLong();
      driver.advanceWallClockTime(Duration.ofMillis(to - wallClockMs));
      wallClockMs = to;
      return;
    }
    String topic = input.get("topic").asText();
    JsonNode types = kit.spec.get("types").get(topic);
    RecordHeaders headers = new RecordHeaders();
    headers.add("i", Integer.toString(step).getBytes(StandardCharsets.UTF_8));
    topics
        .get(topic)
        .pipeInput(
            new TestRecord<>(
                Values.read(input.get("key"), types.get("key").asText()),
                Values.read(input.get("value"), types.get("value").asText()),
                headers,
                input.hasNonNull("ts") ? input.get("ts").asLong() : defaultTimestampMs));
  }

  /** Of the driver that runs. */
  private static long wallClockMs;

  private static long dropped(TopologyTestDriver driver) {
    return driver.metrics().entrySet().stream()
        .filter(metric -> metric.getKey().name().equals("dropped-records-total"))
        .mapToLong(metric -> ((Number) metric.getValue().metricValue()).longValue())
        .sum();
  }

  private static ArrayNode content(TopologyTestDriver driver) {
    ArrayNode rows = Values.json.createArrayNode();
    StateStore store = driver.getAllStateStores().get(Kit.watchedStore);
    if (store instanceof ReadOnlyKeyValueStore<?, ?> plain) read(plain.all(), rows);
    else if (store instanceof ReadOnlyWindowStore<?, ?> windows) read(windows.all(), rows);
    else if (store instanceof SessionStore<?, ?> sessions) read(sessions.fetch(null, null), rows);
    return rows;
  }

  private static void read(KeyValueIterator<?, ?> iterator, ArrayNode rows) {
    try (iterator) {
      while (iterator.hasNext()) {
        KeyValue<?, ?> entry = iterator.next();
        ObjectNode row = rows.addObject();
        row.set("key", Values.show(entry.key));
        if (entry.value instanceof ValueAndTimestamp<?> stored) {
          row.set("value", Values.show(stored.value()));
          row.put("ts", stored.timestamp());
        } else {
          row.set("value", Values.show(entry.value));
        }
      }
    }
  }

  private static String messages(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (Throwable cause = error; cause != null; cause = cause.getCause()) text.append(cause).append(": ");
    return text.toString();
  }
}
