import { defineConfig } from "vitest/config";

/** Suites with real client programs: `npm run test:clients`. What is not installed is skipped with its reason. */
export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    globalSetup: ["test/clients/present.ts"],
    include: ["test/clients/**/*.test.ts"],
    env: { FIREKEEPER_TEST_PATIENCE_MS: "45000" },
    testTimeout: 180_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
