// Debezium's Vitess connector in a process of its own: Changes.java PORT KEYSPACE TABLE OFFSETS. A line of JSON for each change:
// {"key": .., "value": ..}. Its position is in the file OFFSETS. It ends in good order when its input does.
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

public class Changes {
  static Properties settings(String port, String keyspace, String table, String offsets) {
    Properties settings = new Properties();
    settings.setProperty("name", "changes");
    settings.setProperty("connector.class", "io.debezium.connector.vitess.VitessConnector");
    settings.setProperty("topic.prefix", "changes");
    settings.setProperty("database.hostname", "127.0.0.1");
    settings.setProperty("database.port", port);
    settings.setProperty("vitess.keyspace", keyspace);
    settings.setProperty("vitess.tablet.type", "MASTER");
    settings.setProperty("table.include.list", keyspace + "." + table);
    settings.setProperty("tombstones.on.delete", "false");
    settings.setProperty("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
    settings.setProperty("offset.storage.file.filename", offsets);
    settings.setProperty("offset.flush.interval.ms", "0");  // After each batch.
    settings.setProperty("key.converter.schemas.enable", "false");
    settings.setProperty("value.converter.schemas.enable", "false");
    return settings;
  }

  static synchronized void say(ChangeEvent<String, String> change) {
    System.out.println("{\"key\": " + change.key() + ", \"value\": " + change.value() + "}");
    System.out.flush();
  }

  public static void main(String[] args) throws Exception {
    ExecutorService thread = Executors.newSingleThreadExecutor();
    DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class)
        .using(settings(args[0], args[1], args[2], args[3]))
        .using((DebeziumEngine.CompletionCallback) (well, message, error) -> {
          if (!well) System.err.println("the engine ended: " + message + " " + error);
        })
        .notifying(Changes::say)
        .build();
    thread.submit(engine).isDone();
    while (System.in.read() >= 0) {}
    engine.close();
    thread.shutdown();
    System.exit(thread.awaitTermination(30, TimeUnit.SECONDS) ? 0 : 1);
  }
}
