import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Job (b) in Kafka Streams: a processor that checks, a repartition topic, and one that folds, with timers in a store of their own.
 * Addresses come in PEER_BROKER, PEER_PREFIX, PEER_DATADIR, PEER_COMMIT_S and PEER_THREADS.
 */
public final class FullStreams {
    static final String[] STAGES = {
        null, "reach", "acquisition", "conversion", "retention", "loyalty", "dormant", "at_risk", "churned"};
    static final Set<String> HAPPENINGS = Set.of(
        "sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed");
    static final long DAY = 86_400_000L;
    static final long FAR = Long.MAX_VALUE;
    static final long NEVER = -1;
    static final int PARTITIONS = 8;
    static final byte NOTHING = 0, VISIT = 1, DELIVERED = 2, OPENED = 3, CLICKED = 4, ORDER = 5;

    /** What the fold needs of an event; null where it is refused. */
    static final class Event {
        static final JsonFactory JSON = new JsonFactory();
        String id, source, customer, type, time, happening, total, url, message, order, currency;
        boolean machine;
        byte kind;
        long at;

        static Event read(byte[] value) {
            Event event = new Event();
            try (JsonParser json = JSON.createParser(value)) {
                if (json.nextToken() != JsonToken.START_OBJECT) {
                    return null;
                }
                while (json.nextToken() == JsonToken.FIELD_NAME) {
                    String name = json.currentName();
                    JsonToken token = json.nextToken();
                    String text = token == JsonToken.VALUE_STRING ? json.getText() : null;
                    switch (name) {
                        case "id" -> event.id = text;
                        case "source" -> event.source = text;
                        case "customer_id" -> event.customer = text;
                        case "type" -> event.type = text;
                        case "time" -> event.time = text;
                        case "event" -> event.happening = text;
                        case "total" -> event.total = text;
                        case "url" -> event.url = text;
                        case "message_id" -> event.message = text;
                        case "order_id" -> event.order = text;
                        case "currency" -> event.currency = text;
                        case "machine" -> event.machine = token == JsonToken.VALUE_TRUE;
                        default -> json.skipChildren();
                    }
                }
                return event.sound() ? event : null;
            } catch (IOException | DateTimeException | NumberFormatException error) {
                return null;
            }
        }

        private static boolean there(String... texts) {
            for (String text : texts) {
                if (text == null || text.isEmpty()) {
                    return false;
                }
            }
            return true;
        }

        private boolean sound() {
            if (!there(id, source, customer, type, time)) {
                return false;
            }
            at = Instant.parse(time).toEpochMilli();
            switch (type) {
                case "web.visit" -> {
                    kind = VISIT;
                    return there(url);
                }
                case "email.event" -> {
                    if (!there(message, happening) || !HAPPENINGS.contains(happening)) {
                        return false;
                    }
                    kind = switch (happening) {
                        case "delivered" -> DELIVERED;
                        case "opened" -> machine ? NOTHING : OPENED;
                        case "clicked" -> machine ? NOTHING : CLICKED;
                        default -> NOTHING;
                    };
                    return true;
                }
                case "order.completed" -> {
                    kind = ORDER;
                    return there(order, currency, total) && new BigDecimal(total).signum() >= 0;
                }
                default -> {
                    return false;
                }
            }
        }

        /** Kind, source partition, time, id. */
        byte[] packed(int partition) {
            byte[] name = id.getBytes(StandardCharsets.UTF_8);
            return ByteBuffer.allocate(10 + name.length).put(kind).put((byte) partition).putLong(at).put(name).array();
        }
    }

    /** An event beside its bytes, and where it came from; null where it is refused. */
    record Checked(byte[] bytes, Event event, int partition) { }

    /** Says of each record what event it is. */
    static final class Check implements FixedKeyProcessor<byte[], byte[], Checked> {
        private FixedKeyProcessorContext<byte[], Checked> context;

        @Override
        public void init(FixedKeyProcessorContext<byte[], Checked> given) {
            context = given;
        }

        @Override
        public void process(FixedKeyRecord<byte[], byte[]> record) {
            int partition = context.recordMetadata().orElseThrow().partition();
            Event event = Event.read(record.value());
            if (event == null) {
                record.headers().add("reason", "refused".getBytes(StandardCharsets.UTF_8));
            }
            context.forward(record.withValue(new Checked(record.value(), event, partition)));
        }
    }

    /** What is kept of a customer. */
    static final class Customer {
        long knownAt = NEVER, activeAt = NEVER, orderedAt = NEVER, day1 = NEVER, day2 = NEVER, day3 = NEVER, now = NEVER, timer = FAR;
        int known, orders, days, stage, seq;

        long due() {
            if (orderedAt != NEVER) {
                long found = FAR;
                if (days >= 3 && day3 + 365 * DAY > now) {
                    found = day3 + 365 * DAY;
                }
                for (long age = 90 * DAY; age <= 180 * DAY; age += 90 * DAY) {
                    if (now < orderedAt + age && orderedAt + age < found) {
                        return orderedAt + age;
                    }
                }
                return found;
            }
            if (known == 0) {
                return FAR;
            }
            long at = (activeAt != NEVER ? activeAt : knownAt) + 90 * DAY;
            return at > now ? at : FAR;
        }

        int stageAt(long t) {
            if (orderedAt != NEVER) {
                if (t - orderedAt >= 90 * DAY) {
                    return t - orderedAt >= 180 * DAY ? 8 : 7;
                }
                if (days >= 3 && day3 > t - 365 * DAY) {
                    return 5;
                }
                return days >= 2 ? 4 : 3;
            }
            if (known == 0) {
                return 0;
            }
            return t - (activeAt != NEVER ? activeAt : knownAt) >= 90 * DAY ? 6 : known;
        }

        void add(byte kind, long at) {
            now = at;
            if (kind == ORDER) {
                orders++;
                orderedAt = at;
                if (days == 0 || Math.floorDiv(day1, DAY) != Math.floorDiv(at, DAY)) {
                    days++;
                    day3 = day2;
                    day2 = day1;
                }
                day1 = at;
            } else if (kind == VISIT || kind == CLICKED || kind == DELIVERED) {
                if (known == 0) {
                    knownAt = at;
                }
                known = kind == CLICKED ? 2 : Math.max(known, 1);
            }
            if (kind == VISIT || kind == CLICKED || kind == OPENED) {
                activeAt = at;
            }
        }
    }

    /** 84 bytes a customer. */
    static final class CustomerSerde extends Serdes.WrapperSerde<Customer> {
        CustomerSerde() {
            super(
                (topic, one) -> one == null ? null : ByteBuffer.allocate(84)
                    .putLong(one.knownAt).putLong(one.activeAt).putLong(one.orderedAt)
                    .putLong(one.day1).putLong(one.day2).putLong(one.day3).putLong(one.now).putLong(one.timer)
                    .putInt(one.known).putInt(one.orders).putInt(one.days).putInt(one.stage).putInt(one.seq).array(),
                (topic, bytes) -> bytes == null ? null : read(ByteBuffer.wrap(bytes)));
        }

        static Customer read(ByteBuffer from) {
            Customer one = new Customer();
            one.knownAt = from.getLong();
            one.activeAt = from.getLong();
            one.orderedAt = from.getLong();
            one.day1 = from.getLong();
            one.day2 = from.getLong();
            one.day3 = from.getLong();
            one.now = from.getLong();
            one.timer = from.getLong();
            one.known = from.getInt();
            one.orders = from.getInt();
            one.days = from.getInt();
            one.stage = from.getInt();
            one.seq = from.getInt();
            return one;
        }
    }

    /** Folds events, and fires the timers of days that are over. */
    static final class Fold implements Processor<String, byte[], String, byte[]> {
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, Customer> customers;
        private KeyValueStore<byte[], byte[]> timers;
        private KeyValueStore<Integer, Long> seenStore;
        private final long[] seen = new long[PARTITIONS];
        private long nextDay = 0;

        @Override
        public void init(ProcessorContext<String, byte[]> given) {
            context = given;
            customers = given.getStateStore("customers");
            timers = given.getStateStore("timers");
            seenStore = given.getStateStore("seen");
            Arrays.fill(seen, NEVER);
            for (int n = 0; n < PARTITIONS; n++) {
                Long kept = seenStore.get(n);
                seen[n] = kept == null ? NEVER : kept;
            }
        }

        @Override
        public void process(Record<String, byte[]> record) {
            ByteBuffer packed = ByteBuffer.wrap(record.value());
            byte kind = packed.get();
            int from = packed.get();
            long at = packed.getLong();
            Customer kept = customers.get(record.key());
            Customer customer = kept == null ? new Customer() : kept;
            advance(record.key(), customer, at, record);
            customer.add(kind, at);
            judge(record.key(), customer, at, new String(record.value(), 10, record.value().length - 10, StandardCharsets.UTF_8), record);
            keep(record.key(), customer);
            seen[from] = at;
            seenStore.put(from, at);
            long low = seen[0];
            for (long one : seen) {
                low = Math.min(low, one);
            }
            long today = Math.floorDiv(low, DAY);
            if (today > nextDay) {
                while (fireBefore(today, record)) {
                    // a timer that fires may set another that is due, too
                }
                nextDay = today;
            }
        }

        /** A timer is a key, the day first, so that those which are due stand in front. */
        private static byte[] timer(long day, String key) {
            byte[] name = key.getBytes(StandardCharsets.UTF_8);
            return ByteBuffer.allocate(8 + name.length).putLong(day).put(name).array();
        }

        private boolean fireBefore(long today, Record<String, byte[]> record) {
            List<byte[]> due = new ArrayList<>();
            try (KeyValueIterator<byte[], byte[]> found = timers.range(timer(0, ""), timer(today, ""))) {
                while (found.hasNext()) {
                    KeyValue<byte[], byte[]> one = found.next();
                    due.add(one.key);
                }
            }
            for (byte[] one : due) {
                timers.delete(one);
                long day = ByteBuffer.wrap(one).getLong();
                String key = new String(one, 8, one.length - 8, StandardCharsets.UTF_8);
                Customer customer = customers.get(key);
                if (customer.timer == day) {
                    customer.timer = FAR;
                    advance(key, customer, (day + 1) * DAY, record);
                    keep(key, customer);
                }
            }
            return !due.isEmpty();
        }

        private void keep(String key, Customer customer) {
            long due = customer.due();
            if (due != FAR && due / DAY < customer.timer) {
                customer.timer = due / DAY;
                timers.put(timer(customer.timer, key), new byte[0]);
            }
            customers.put(key, customer);
        }

        private void advance(String key, Customer customer, long until, Record<String, byte[]> record) {
            for (long at = customer.due(); at < until; at = customer.due()) {
                customer.now = at;
                judge(key, customer, at, "", record);
            }
        }

        /** Ids and stages hold nothing that JSON would escape. */
        private void judge(String key, Customer customer, long at, String trigger, Record<String, byte[]> record) {
            int stage = customer.stageAt(at);
            if (stage == customer.stage) {
                return;
            }
            String previous = STAGES[customer.stage] == null ? "null" : "\"" + STAGES[customer.stage] + "\"";
            customer.stage = stage;
            customer.seq++;
            byte[] change = ("{\"customer_id\":\"" + key + "\",\"seq\":" + customer.seq + ",\"stage\":\"" + STAGES[stage]
                + "\",\"previous_stage\":" + previous + ",\"entered_ms\":" + at + ",\"trigger\":\"" + trigger
                + "\",\"orders\":" + customer.orders + "}").getBytes(StandardCharsets.UTF_8);
            context.forward(record.withKey(key).withValue(change));
        }
    }

    static StreamsBuilder built(String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(Stores
            .keyValueStoreBuilder(Stores.persistentKeyValueStore("customers"), Serdes.String(), new CustomerSerde())
            .withCachingEnabled());
        builder.addStateStore(Stores
            .keyValueStoreBuilder(Stores.persistentKeyValueStore("timers"), Serdes.ByteArray(), Serdes.ByteArray())
            .withCachingEnabled());
        builder.addStateStore(Stores
            .keyValueStoreBuilder(Stores.persistentKeyValueStore("seen"), Serdes.Integer(), Serdes.Long())
            .withCachingEnabled());
        FixedKeyProcessorSupplier<byte[], byte[], Checked> check = Check::new;
        ProcessorSupplier<String, byte[], String, byte[]> fold = Fold::new;
        Map<String, KStream<byte[], Checked>> ways = builder
            .stream(prefix + "events", Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .processValues(check)
            .split(Named.as("way-"))
            .branch((key, checked) -> checked.event() != null, Branched.as("sound"))
            .defaultBranch(Branched.as("refused"));
        ways.get("way-refused")
            .mapValues(Checked::bytes)
            .to(prefix + "dead-letters", Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        ways.get("way-sound")
            .map((key, checked) -> KeyValue.pair(checked.event().customer, checked.event().packed(checked.partition())))
            .repartition(Repartitioned.with(Serdes.String(), Serdes.ByteArray()).withName("keyed").withNumberOfPartitions(PARTITIONS))
            .process(fold, "customers", "timers", "seen")
            .to(prefix + "stage-changes", Produced.with(Serdes.String(), Serdes.ByteArray()));
        return builder;
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
        KafkaStreams streams = new KafkaStreams(built(prefix).build(), settings);
        // It leaves the group, so that the next start need not wait until its session is over.
        CloseOptions leaving = CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
            .withTimeout(Duration.ofSeconds(20));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(leaving)));
        streams.start();
    }

    private FullStreams() { }
}
