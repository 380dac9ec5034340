import { defineConfig } from "vitest/config";

/**
 * Which suites run by default; the ones with real clients, peers and containers have scripts of their own in
 * package.json. Files of `parts` share processes: two servers live in one process anyway, and reading all sources again
 * for each file costs more than most of them take. Files of `whole` start programs.
 */
export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    maxWorkers: 3,
    coverage: { include: ["agent/**/*.ts", "xmpp-core/**/*.ts"], reportsDirectory: "coverage" },
    projects: [
      {
        extends: true,
        test: { name: "parts", include: ["test/{unit,protocol,hostile}/**/*.test.ts"], isolate: false },
      },
      { extends: true, test: { name: "whole", include: ["test/system/**/*.test.ts"] } },
    ],
  },
});
