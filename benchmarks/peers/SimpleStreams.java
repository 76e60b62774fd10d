import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Job (a) in Kafka Streams: a processor with a RocksDB store behind the record cache, and its changelog.
 * Addresses come in PEER_BROKER, PEER_PREFIX, PEER_DATADIR, PEER_COMMIT_S and PEER_THREADS.
 */
public final class SimpleStreams {
    static final String[] STAGES = {null, "reach", "acquisition", "conversion", "retention", "loyalty"};
    static final long DAY_MS = 86_400_000L;

    /** The fields of an event that the rules read. */
    static final class Event {
        static final JsonFactory JSON = new JsonFactory();
        String id, type, time, happening, total;
        boolean machine;

        static Event read(byte[] value) {
            Event event = new Event();
            try (JsonParser json = JSON.createParser(value)) {
                json.nextToken();
                while (json.nextToken() == JsonToken.FIELD_NAME) {
                    String name = json.currentName();
                    json.nextToken();
                    switch (name) {
                        case "id" -> event.id = json.getText();
                        case "type" -> event.type = json.getText();
                        case "time" -> event.time = json.getText();
                        case "event" -> event.happening = json.getText();
                        case "total" -> event.total = json.getText();
                        case "machine" -> event.machine = json.getBooleanValue();
                        default -> json.skipChildren();
                    }
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            return event;
        }
    }

    /** What is kept of a customer. */
    static final class Customer {
        long first, last, spent;
        int events, orders, days, newestDay = -1, known, stage, seq;
    }

    /** 52 bytes a customer. */
    static final class CustomerSerde extends Serdes.WrapperSerde<Customer> {
        CustomerSerde() {
            super(
                (topic, one) -> one == null ? null : ByteBuffer.allocate(52)
                    .putLong(one.first).putLong(one.last).putLong(one.spent)
                    .putInt(one.events).putInt(one.orders).putInt(one.days).putInt(one.newestDay)
                    .putInt(one.known).putInt(one.stage).putInt(one.seq).array(),
                (topic, bytes) -> bytes == null ? null : read(ByteBuffer.wrap(bytes)));
        }

        static Customer read(ByteBuffer from) {
            Customer one = new Customer();
            one.first = from.getLong();
            one.last = from.getLong();
            one.spent = from.getLong();
            one.events = from.getInt();
            one.orders = from.getInt();
            one.days = from.getInt();
            one.newestDay = from.getInt();
            one.known = from.getInt();
            one.stage = from.getInt();
            one.seq = from.getInt();
            return one;
        }
    }

    /** Folds an event into its customer, and tells a change of stage. */
    static final class Fold implements Processor<String, byte[], String, byte[]> {
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, Customer> customers;

        @Override
        public void init(ProcessorContext<String, byte[]> given) {
            context = given;
            customers = given.getStateStore("customers");
        }

        @Override
        public void process(Record<String, byte[]> record) {
            Event event = Event.read(record.value());
            Customer kept = customers.get(record.key());
            Customer customer = kept == null ? new Customer() : kept;
            int before = customer.stage;
            add(customer, event);
            if (customer.stage != before) {
                customer.seq++;
                context.forward(record.withValue(told(record.key(), customer, before, event)));
            }
            customers.put(record.key(), customer);
        }

        private static void add(Customer customer, Event event) {
            long at = Instant.parse(event.time).toEpochMilli();
            if (customer.events++ == 0) {
                customer.first = at;
            }
            customer.last = at;
            switch (event.type) {
                case "web.visit" -> customer.known = Math.max(customer.known, 1);
                case "email.event" -> {
                    if (event.happening.equals("delivered")) {
                        customer.known = Math.max(customer.known, 1);
                    } else if (event.happening.equals("clicked") && !event.machine) {
                        customer.known = 2;
                    }
                }
                case "order.completed" -> {
                    customer.orders++;
                    customer.spent += Long.parseLong(event.total.replace(".", ""));
                    int day = (int) Math.floorDiv(at, DAY_MS);
                    if (day != customer.newestDay) {
                        customer.days++;
                        customer.newestDay = day;
                    }
                }
                default -> { }
            }
            customer.stage = customer.days > 0 ? 2 + Math.min(customer.days, 3) : customer.known;
        }

        /** Ids, times and stages hold nothing that JSON would escape. */
        private static byte[] told(String key, Customer customer, int before, Event event) {
            String previous = STAGES[before] == null ? "null" : "\"" + STAGES[before] + "\"";
            return ("{\"customer_id\":\"" + key + "\",\"seq\":" + customer.seq + ",\"stage\":\"" + STAGES[customer.stage]
                + "\",\"previous_stage\":" + previous + ",\"entered_at\":\"" + event.time + "\",\"trigger\":\"" + event.id
                + "\",\"events\":" + customer.events + ",\"orders\":" + customer.orders + ",\"spent_minor\":" + customer.spent
                + ",\"first_ms\":" + customer.first + "}").getBytes(StandardCharsets.UTF_8);
        }
    }

    public static void main(String[] arguments) {
        Map<String, String> given = System.getenv();
        String prefix = given.get("PEER_PREFIX");
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix + "streams");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("PEER_BROKER"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given.get("PEER_DATADIR"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, given.get("PEER_THREADS"));
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, (long) (1000 * Double.parseDouble(given.get("PEER_COMMIT_S"))));
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        Serde<Customer> serde = new CustomerSerde();
        StoreBuilder<KeyValueStore<String, Customer>> customers = Stores
            .keyValueStoreBuilder(Stores.persistentKeyValueStore("customers"), Serdes.String(), serde)
            .withCachingEnabled();
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(customers);
        ProcessorSupplier<String, byte[], String, byte[]> fold = Fold::new;
        builder.stream(prefix + "events", Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .process(fold, "customers")
            .to(prefix + "stage-changes", Produced.with(Serdes.String(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        // It leaves the group, so that the next start need not wait until its session is over.
        CloseOptions leaving = CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
            .withTimeout(Duration.ofSeconds(20));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(leaving)));
        streams.start();
    }

    private SimpleStreams() { }
}
