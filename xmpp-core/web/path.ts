const segment = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+$/;

/**
 * The segments of a request's path, each decoded once; a slash at the end counts for nothing. Undefined for what could
 * be read in two ways: empty or dot segments, and slashes, backslashes or control characters that were escaped.
 */
export function segmentsOf(url: string | undefined): readonly string[] | undefined {
  const path = url?.split("?", 1)[0] ?? "";
  if (!path.startsWith("/")) return undefined;
  const inner = path.slice(1).replace(/\/$/, "");
  if (inner === "") return path === "//" ? undefined : [];
  const segments: string[] = [];
  for (const written of inner.split("/")) {
    const decoded = segment.test(written) ? decode(written) : undefined;
    if (decoded === undefined || decoded === "." || decoded === ".." || /[/\\\p{Cc}]/u.test(decoded)) return undefined;
    segments.push(decoded);
  }
  return segments;
}

function decode(written: string): string | undefined {
  try {
    return decodeURIComponent(written);
  } catch {
    return undefined;
  }
}
