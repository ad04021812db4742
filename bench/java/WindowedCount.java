import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/** The `windowed` workload on Kafka Streams: BROKER GUARANTEE STATE_DIRECTORY. Needs the inputs that `npm run bench` writes. */
public final class WindowedCount {
  private static final long RECORDS = 1_000_000;
  private static final Duration WINDOW = Duration.ofMinutes(1);

  public static void main(String[] arguments) throws Exception {
    String guarantee = arguments[1];
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("application.id", "windowed-" + guarantee + "-" + System.currentTimeMillis());
    settings.put("processing.guarantee", guarantee);
    settings.put("state.dir", arguments[2]);
    settings.put("auto.offset.reset", "earliest");
    settings.put("producer.linger.ms", "20");
    if (guarantee.equals("at_least_once")) settings.put("commit.interval.ms", "1000");

    AtomicLong seen = new AtomicLong();
    AtomicLong firstNanos = new AtomicLong();
    StreamsBuilder builder = new StreamsBuilder();
    builder
        .stream("bench.billing", Consumed.with(Serdes.String(), Serdes.ByteArray()))
        .peek((key, value) -> {
          if (seen.getAndIncrement() == 0) firstNanos.set(System.nanoTime());
        })
        .groupByKey()
        .windowedBy(TimeWindows.ofSizeWithNoGrace(WINDOW))
        .count(Materialized.as("windowed"));

    OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
      long startCpu = system.getProcessCpuTime();
      streams.start();
      while (seen.get() < RECORDS) Thread.sleep(5);
      double wall = (System.nanoTime() - firstNanos.get()) / 1e9;
      streams.close();
      double cpu = (system.getProcessCpuTime() - startCpu) / 1e9;
      System.out.printf(
          "RESULT windowed %s records=%d wall=%.2f rate=%.0f cpu=%.2f cpuPerMillion=%.2f%n",
          guarantee, RECORDS, wall, RECORDS / wall, cpu, cpu * 1e6 / RECORDS);
    }
  }

  private WindowedCount() {}
}
