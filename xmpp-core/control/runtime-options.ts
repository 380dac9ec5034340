/** `sys.xmpp.java_options`: what JVM-style options mean for the runtime of the core. docs/settings.md. */

export interface RuntimeOptions {
  /** The options in their order, one space between; `-Xmx` in MiB. */
  readonly text: string;
  /** Heap limit of the core in MiB; undefined: the runtime's own. */
  readonly heapMb: number | undefined;
  /** Options without an equivalent here. */
  readonly without: readonly string[];
}

/** Below this the core would not start; above it no machine has memory to give. */
const leastMb = 64;
const mostMb = 1024 * 1024;
const mebibyte = 1024 * 1024;
const units: Record<string, number> = { "": 1, k: 1024, m: mebibyte, g: 1024 * mebibyte, t: 1024 * 1024 * mebibyte };

/** Undefined: `-Xmx` is unreadable or out of bounds. As for a JVM, the last `-Xmx` counts. */
export function readRuntimeOptions(text: string): RuntimeOptions | undefined {
  let heapMb: number | undefined;
  const without: string[] = [];
  const words: string[] = [];
  for (const word of text.split(/\s+/).filter((each) => each !== "")) {
    if (!/^-Xmx/i.test(word)) {
      words.push(word);
      without.push(word);
      continue;
    }
    const size = /^-Xmx(\d{1,15})([kmgt]?)$/i.exec(word);
    const mib = size && Math.floor((Number(size[1]) * (units[(size[2] ?? "").toLowerCase()] ?? 1)) / mebibyte);
    if (mib === null || mib < leastMb || mib > mostMb) return undefined;
    heapMb = mib;
  }
  if (heapMb !== undefined) words.unshift(`-Xmx${heapMb}m`);
  return { text: words.join(" "), heapMb, without };
}
