export * from "./archive/query.ts";
