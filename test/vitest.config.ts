import { defineConfig } from "vitest/config";

/** Which suites run by default; the ones with real clients, peers and containers have scripts of their own in package.json. */
export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.test.ts"],
    exclude: ["clients", "peers", "containers", "stores", "network", "chaos", "bench"].map(
      (folder) => `test/${folder}/**`,
    ),
    testTimeout: 30_000,
    hookTimeout: 30_000,
    maxWorkers: 2,
    coverage: { include: ["agent/**/*.ts", "xmpp-core/**/*.ts"], reportsDirectory: "coverage" },
  },
});
