/** What a browser is told of a file, so that nothing that somebody uploaded ever runs under our name. */

/** Shown in place; everything else is offered for saving. */
const shown = new Map([
  ["image", new Set(["png", "jpeg", "gif", "webp", "avif", "bmp"])],
  ["audio", new Set(["mpeg", "mp4", "aac", "ogg", "opus", "wav", "webm", "flac"])],
  ["video", new Set(["mp4", "webm", "ogg", "quicktime"])],
]);
const octets = "application/octet-stream";
/** What some program might run or lay out with its own scripts. */
const active = /html|xml|svg|script|flash|java|xslt|msdownload|x-sh|php|mhtml|multipart|message\//;
const token = /^[a-z0-9!#$&^_.+-]{1,63}\/[a-z0-9!#$&^_.+-]{1,63}$/;

/** `Text/Plain; charset=x` is `text/plain`; undefined: it is none. RFC 9110 §8.3.1 */
export function mediaType(given: string | undefined): string | undefined {
  const essence = (given ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return token.test(essence) ? essence : undefined;
}

/** Headers of a file under its stored name and type. RFC 6266 */
export function contentHeaders(name: string, type: string): Record<string, string> {
  const said = type === "" || active.test(type) ? octets : type;
  const [kind = "", format = ""] = said.split("/");
  const way = shown.get(kind)?.has(format) ? "inline" : "attachment";
  const plain = name.replace(/[^ -~]|["\\%]/gu, "_");
  return {
    "content-type": said === "text/plain" ? "text/plain; charset=utf-8" : said,
    "content-disposition": `${way}; filename="${plain}"; filename*=UTF-8''${escapedName(name)}`,
    "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
  };
}

const longestName = 240;
// Slashes and control characters mean something elsewhere; the others turn around what is shown, ".exe" as "gpj.".
const misleading = /[/\\\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A file's name as it stands in its address and in headers: any Unicode, bounded in bytes, its ending kept. Empty: there is none. */
export function tidyName(given: string): string {
  const name = given.replace(misleading, "_").trim();
  if (/^\.*$/.test(name)) return name === "" ? "" : "_";
  if (Buffer.byteLength(name) <= longestName) return name;
  const ending = /\.[^.]{1,16}$/u.exec(name)?.[0] ?? "";
  let kept = "";
  let bytes = Buffer.byteLength(ending);
  for (const character of name.slice(0, name.length - ending.length)) {
    bytes += Buffer.byteLength(character);
    if (bytes > longestName) break;
    kept += character;
  }
  return kept + ending;
}

/** A name as a segment of an address, and as RFC 8187 wants it in a header. */
export function escapedName(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}
