import java.io.IOException;
import java.io.PrintWriter;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.igniterealtime.smack.inttest.AbstractSmackIntTest;
import org.igniterealtime.smack.inttest.Configuration;
import org.igniterealtime.smack.inttest.FailedTest;
import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework;
import org.igniterealtime.smack.inttest.SuccessfulTest;
import org.igniterealtime.smack.inttest.TestNotPossible;
import org.igniterealtime.smack.inttest.annotations.SmackIntegrationTest;
import org.igniterealtime.smack.inttest.annotations.SpecificationReference;
import org.jivesoftware.smackx.omemo.OmemoService;
import org.jivesoftware.smackx.omemo.signal.SignalOmemoService;

/**
 * Runs Smack's integration tests as its own main class does (settings: system properties sinttest.*) and writes what
 * became of each as one JSON line into the file named by the argument. Smack gives up the whole run when a test throws
 * what it does not expect, such as a login without answer; this takes it for that test's failure and goes on.
 */
public final class SmackRun {
    private static final Map<String, String> lines = new LinkedHashMap<>();
    private static final Set<String> doneClasses = new TreeSet<>();
    private static final Set<String> doneTests = new TreeSet<>();
    private static volatile SmackIntegrationTestFramework.ConcreteTest running;
    private static volatile long runningSince;
    private static volatile Framework framework;

    /** Gives access to the results of a run that did not come to its end. */
    private static final class Framework extends SmackIntegrationTestFramework {
        Framework(Configuration configuration) {
            super(configuration);
        }

        TestRunResult soFar() {
            return testRunResult;
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path output = Path.of(arguments[0]);
        // Java's own AES refuses the parameters that Smack's OMEMO gives it.
        Security.addProvider(new BouncyCastleProvider());
        SignalOmemoService.acknowledgeLicense();
        if (!OmemoService.isServiceRegistered()) SignalOmemoService.setup();
        Logger log = Logger.getLogger(SmackIntegrationTestFramework.class.getName());
        log.addHandler(new Handler() {
            @Override
            public void publish(LogRecord entry) {
                if (!String.valueOf(entry.getMessage()).endsWith(" Start")) return;
                running = SmackIntegrationTestFramework.getTestUnderExecution();
                runningSince = System.currentTimeMillis();
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        });
        Thread whenStopped = new Thread(() -> {
            if (running != null) failed(running, "did not end within the time of the whole run");
            write(output);
        });
        Runtime.getRuntime().addShutdownHook(whenStopped);

        String disabledBefore = System.getProperty("sinttest.disabledTests", "");
        for (Class<?> broken = run(); broken != null; broken = run()) {
            // The tests of that class which were not reached, by name; then all classes that were not reached.
            String left = notDone(broken);
            while (!left.isEmpty()) {
                String enabledBefore = System.setProperty("sinttest.enabledTests", left);
                System.setProperty("sinttest.disabledTests", "");
                run();
                left = notDone(broken);
                if (enabledBefore == null) System.clearProperty("sinttest.enabledTests");
                else System.setProperty("sinttest.enabledTests", enabledBefore);
            }
            Set<String> disabled = new LinkedHashSet<>(doneClasses);
            Arrays.stream(disabledBefore.split(",")).map(String::trim).filter(name -> !name.isEmpty()).forEach(disabled::add);
            System.setProperty("sinttest.disabledTests", String.join(",", disabled));
        }
        running = null;
        System.exit(0);
    }

    /** One run of what is enabled; the class at whose test it was given up, or null. */
    private static Class<?> run() throws Exception {
        framework = new Framework(Configuration.newConfiguration(new String[0]));
        running = null;
        try {
            framework.run();
            return null;
        } catch (Exception | Error thrown) {
            if ("No integration tests selected.".equals(thrown.getMessage())) return null;
            if (running == null) throw thrown;
            thrown.printStackTrace();
            failed(running, "threw " + thrown);
            return running.getMethod().getDeclaringClass();
        } finally {
            if (framework.soFar() != null) collect(framework.soFar());
        }
    }

    private static String notDone(Class<?> of) {
        List<String> names = new ArrayList<>();
        for (Method method : of.getMethods()) {
            String name = of.getName() + "." + method.getName();
            if (method.isAnnotationPresent(SmackIntegrationTest.class) && !doneTests.contains(name)) names.add(name);
        }
        return String.join(",", names);
    }

    private static void collect(SmackIntegrationTestFramework.TestRunResult result) {
        for (SuccessfulTest test : result.getSuccessfulTests())
            put(test.concreteTest, "passed", null, test.duration);
        for (FailedTest test : result.getFailedTests())
            put(test.concreteTest, "failed", String.valueOf(test.failureReason), test.duration);
        for (TestNotPossible test : result.getNotPossibleTests())
            put(test.concreteTest, "impossible", test.testNotPossibleException.getMessage(), test.duration);
        for (Map.Entry<Class<? extends AbstractSmackIntTest>, Throwable> entry : result.getImpossibleTestClasses().entrySet()) {
            doneClasses.add(entry.getKey().getName());
            for (Method method : entry.getKey().getMethods())
                if (method.isAnnotationPresent(SmackIntegrationTest.class))
                    put(entry.getKey(), method, "", "impossible", String.valueOf(entry.getValue().getMessage()), 0);
        }
    }

    private static void failed(SmackIntegrationTestFramework.ConcreteTest test, String reason) {
        put(test, "failed", reason, System.currentTimeMillis() - runningSince);
    }

    private static void put(SmackIntegrationTestFramework.ConcreteTest test, String outcome, String reason, long ms) {
        Method method = test.getMethod();
        doneClasses.add(method.getDeclaringClass().getName());
        put(method.getDeclaringClass(), method, String.join(",", test.getSubdescriptons()), outcome, reason, ms);
    }

    private static void put(Class<?> of, Method method, String variant, String outcome, String reason, long ms) {
        doneTests.add(of.getName() + "." + method.getName());
        SpecificationReference specification = of.getAnnotation(SpecificationReference.class);
        SmackIntegrationTest test = method.getAnnotation(SmackIntegrationTest.class);
        List<String> fields = new ArrayList<>();
        fields.add(field("class", of.getName()));
        fields.add(field("test", method.getName() + (variant.isEmpty() ? "" : " (" + variant + ")")));
        fields.add(field("specification", specification == null ? "" : specification.document()));
        fields.add(field("section", test.section()));
        fields.add(field("outcome", outcome));
        if (reason != null) fields.add(field("reason", reason));
        fields.add("\"ms\":" + ms);
        synchronized (lines) {
            lines.putIfAbsent(of.getName() + "." + method.getName() + " " + variant, "{" + String.join(",", fields) + "}");
        }
    }

    private static String field(String name, String value) {
        StringBuilder json = new StringBuilder("\"" + name + "\":\"");
        for (char c : value.toCharArray()) {
            if (c == '"' || c == '\\') json.append('\\').append(c);
            else if (c < ' ') json.append(String.format("\\u%04x", (int) c));
            else json.append(c);
        }
        return json.append('"').toString();
    }

    private static void write(Path output) {
        if (framework != null && framework.soFar() != null) collect(framework.soFar());
        synchronized (lines) {
            try (PrintWriter file = new PrintWriter(Files.newBufferedWriter(output, StandardCharsets.UTF_8))) {
                lines.values().forEach(file::println);
            } catch (IOException error) {
                error.printStackTrace();
            }
        }
    }
}
