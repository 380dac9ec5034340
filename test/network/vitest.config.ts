import { defineConfig } from "vitest/config";

/** Suites in network namespaces, with a NAT, a STUN server and a certificate authority from Debian: `npm run test:network`. What is not installed is skipped with the reason. */
export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/network/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
