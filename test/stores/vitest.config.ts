import { defineConfig } from "vitest/config";

/** Suites against real databases and directories from Debian, started by the tests: `npm run test:stores`. What is not installed is skipped with the reason. */
export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/stores/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
