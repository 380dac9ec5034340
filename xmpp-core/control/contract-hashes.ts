/** Which hashes of passwords the server takes: pure, and the same for whoever plans and whoever logs people in. docs/passwords.md. */
export { type HashForm, type HashRefusal, readHash } from "../auth/password-hash.ts";
