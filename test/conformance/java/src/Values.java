import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.internals.Change;
import org.apache.kafka.streams.kstream.internals.SessionWindow;

/** Keys and values of cases: their serdes, how they are read and how they are shown. */
final class Values {
  static final ObjectMapper json = new ObjectMapper();

  private Values() {}

  /** Whatever a function returns. */
  static Serde<Object> any() {
    return serde(
        value -> {
          try {
            return json.writeValueAsBytes(value);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        },
        bytes -> {
          try {
            return json.readValue(bytes, Object.class);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        });
  }

  /** As `any`, for settings that name a class. */
  public static final class Default implements Serde<Object> {
    @Override
    public Serializer<Object> serializer() {
      return any().serializer();
    }

    @Override
    public Deserializer<Object> deserializer() {
      return any().deserializer();
    }
  }

  /** Keys that a function makes: strings or whole numbers, all of one kind. */
  static Serde<Object> madeKey() {
    boolean[] isText = {true};
    return serde(
        key -> {
          isText[0] = key instanceof String;
          return isText[0]
              ? Serdes.String().serializer().serialize(null, (String) key)
              : Serdes.Long().serializer().serialize(null, ((Number) key).longValue());
        },
        bytes ->
            isText[0]
                ? Serdes.String().deserializer().deserialize(null, bytes)
                : Serdes.Long().deserializer().deserialize(null, bytes));
  }

  /** Of a type that the case names; whatever number comes is made one of it. */
  static Serde<Object> named(String type) {
    return switch (type) {
      case "string" -> typed(Serdes.String(), Object::toString);
      case "int32" -> typed(Serdes.Integer(), value -> ((Number) value).intValue());
      case "int64" -> typed(Serdes.Long(), value -> ((Number) value).longValue());
      case "float32" -> typed(Serdes.Float(), value -> ((Number) value).floatValue());
      case "float64" -> typed(Serdes.Double(), value -> ((Number) value).doubleValue());
      default -> throw new IllegalArgumentException("no serde of " + type);
    };
  }

  static Object read(JsonNode node, String type) {
    if (node == null || node.isNull()) return null;
    return switch (type) {
      case "string" -> node.asText();
      case "int32" -> node.asInt();
      case "int64" -> node.asLong();
      case "float32" -> node.floatValue();
      case "float64" -> node.asDouble();
      default -> throw new IllegalArgumentException("cannot read " + type);
    };
  }

  static JsonNode show(Object value) {
    if (value instanceof Windowed<?> windowed) {
      ObjectNode node = json.createObjectNode();
      node.set("key", show(windowed.key()));
      node.put("start", windowed.window().start());
      node.put("end", windowed.window().end());
      node.put("type", windowed.window() instanceof SessionWindow ? "session" : "time");
      return node;
    }
    if (value instanceof Change<?> change) {
      ObjectNode node = json.createObjectNode();
      node.set("new", show(change.newValue));
      node.set("old", show(change.oldValue));
      return node;
    }
    if (value instanceof Double number && number == Math.rint(number)) return json.valueToTree(number.longValue());
    return json.valueToTree(value);
  }

  private interface Convert<A, B> {
    B apply(A from);
  }

  private static <T> Serde<Object> typed(Serde<T> inner, Convert<Object, T> convert) {
    return serde(
        value -> inner.serializer().serialize(null, convert.apply(value)),
        bytes -> inner.deserializer().deserialize(null, bytes));
  }

  private static Serde<Object> serde(Convert<Object, byte[]> write, Convert<byte[], Object> read) {
    Serializer<Object> serializer = (topic, value) -> value == null ? null : write.apply(value);
    Deserializer<Object> deserializer = (topic, bytes) -> bytes == null ? null : read.apply(bytes);
    return Serdes.serdeFrom(serializer, deserializer);
  }
}
