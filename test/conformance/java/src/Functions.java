import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import org.mozilla.javascript.Context;
import org.mozilla.javascript.Function;
import org.mozilla.javascript.NativeArray;
import org.mozilla.javascript.Scriptable;
import org.mozilla.javascript.Undefined;

/** User functions of a case: JavaScript expressions over named values. */
final class Functions {
  interface Of {
    Object call(Object... values);
  }

  private final JsonNode texts;
  private final Context context;
  private final Scriptable scope;

  Functions(JsonNode texts, Context context) {
    this.texts = texts;
    this.context = context;
    scope = context.initStandardObjects();
    context.evaluateString(scope, "var trunc = Math.trunc;", "case", 1, null);
  }

  boolean has(String name) {
    return texts.has(name);
  }

  boolean isCount() {
    return texts.path("op").asText().equals("count");
  }

  Of get(String name, String... parameters) {
    if (!has(name)) throw new IllegalArgumentException("the case has no function " + name);
    return compile(texts.get(name).asText(), parameters);
  }

  Of aggregator(String topic) {
    return compile(texts.get("aggregators").get(topic).asText(), "key", "value", "agg");
  }

  List<String> aggregatedTopics() {
    List<String> topics = new ArrayList<>();
    texts.get("aggregators").fieldNames().forEachRemaining(topics::add);
    return topics;
  }

  private Of compile(String text, String... parameters) {
    if (text.equals("set union")) return values -> union((List<?>) values[0], (List<?>) values[1]);
    if (text.equals("set difference")) return values -> difference((List<?>) values[0], (List<?>) values[1]);
    String source = "(function(" + String.join(",", parameters) + ") { return (" + text + "); })";
    Function function = (Function) context.evaluateString(scope, source, "case", 1, null);
    return values -> fromScript(function.call(context, scope, scope, toScript(values)));
  }

  private Object[] toScript(Object[] values) {
    Object[] script = new Object[values.length];
    for (int i = 0; i < values.length; i++)
      script[i] = values[i] instanceof List<?> list ? context.newArray(scope, list.toArray()) : values[i];
    return script;
  }

  /** What is undefined counts as null; whole numbers are longs. */
  private static Object fromScript(Object value) {
    if (value == null || Undefined.isUndefined(value)) return null;
    if (value instanceof NativeArray array) {
      List<Object> list = new ArrayList<>();
      for (Object item : array) list.add(fromScript(item));
      return list;
    }
    if (value instanceof Boolean) return value;
    if (value instanceof Number number) {
      double exact = number.doubleValue();
      if (exact == Math.rint(exact) && Math.abs(exact) < 1e15) return (long) exact;
      return exact;
    }
    return value.toString();
  }

  private static Object union(List<?> a, List<?> b) {
    LinkedHashSet<Object> all = new LinkedHashSet<>();
    if (a != null) all.addAll(a);
    if (b != null) all.addAll(b);
    return new ArrayList<>(all);
  }

  private static Object difference(List<?> a, List<?> b) {
    List<Object> rest = new ArrayList<>();
    if (a != null) rest.addAll(a);
    if (b != null) rest.removeAll(b);
    return rest;
  }
}
