import { defineConfig } from "vitest/config";

/** Suites in containers: `npm run test:containers`. Without an engine they are skipped with the reason. */
export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/containers/**/*.test.ts"],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
});
