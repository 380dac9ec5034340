import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { presentRecord } from "../../xmpp-core/certificates/dns-hook.ts";
import { orderedName, whyNotOrderable } from "../../xmpp-core/certificates/orderable.ts";
import { ownFiles } from "../../xmpp-core/certificates/own-files.ts";
import { readPkcs12 } from "../../xmpp-core/certificates/pkcs12.ts";
import { certificateDirectory } from "../../xmpp-core/certificates/properties.ts";
import type { CodedError } from "../../xmpp-core/errors.ts";
import type { Property } from "../../xmpp-core/properties/property.ts";
import { checkCertificate, loadCertificate } from "../../xmpp-core/transport/certificates.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "certificate-files-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const openssl = (cwd: string, ...args: string[]): Buffer => execFileSync("openssl", args, { cwd, stdio: "pipe" });
const codeOf = (error: unknown): string => (error as CodedError).code;

describe("what no client accepts is refused", () => {
  const made = (key: string[], more: string[] = []) => {
    const name = ["-subj", "/CN=example.org", "-addext", "subjectAltName=DNS:example.org"];
    openssl(
      folder,
      "req",
      "-x509",
      "-newkey",
      ...key,
      ...more,
      "-nodes",
      "-keyout",
      "key.pem",
      "-out",
      "chain.pem",
      ...name,
    );
  };
  const check = () => {
    const [chainPath, keyPath] = [join(folder, "chain.pem"), join(folder, "key.pem")];
    const source = { name: "own", chainPath, keyPath, covers: ["example.org"] };
    return checkCertificate(source, readFileSync(chainPath, "utf8"), readFileSync(keyPath, "utf8"), new Date());
  };

  test.each([
    [["rsa:1024"], "a key of 1024 bits"],
    [["ec", "-pkeyopt", "ec_paramgen_curve:secp192k1"], "a key on the curve secp192k1"],
  ])("%j", (key, what) => {
    made(key);
    expect(check).toThrow(`Certificate 1 in ${join(folder, "chain.pem")} has ${what}.`);
  });

  test.each([[["rsa:2048"]], [["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]], [["ed25519"]]])("but not %j", (key) => {
    made(key);
    expect(check().daysLeft).toBe(29);
  });

  test("a signature with SHA-1, except of a root by itself", () => {
    made(["rsa:2048"], ["-sha1"]);
    expect(check().selfSigned).toBe(true);
    openssl(folder, ..."req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca".split(" "));
    openssl(folder, ..."req -newkey rsa:2048 -nodes -keyout key.pem -out own.csr -subj /CN=example.org".split(" "));
    writeFileSync(join(folder, "names"), "subjectAltName=DNS:example.org\n");
    openssl(folder, ..."x509 -req -sha1 -in own.csr -CA ca.pem -CAkey ca.key -out chain.pem -extfile names".split(" "));
    expect(check).toThrow("is signed with SHA-1.");
  });
});

describe("a folder of certificates", () => {
  const get = (<T>(property: Property<T>): T =>
    (property as Property<unknown>) === (certificateDirectory as Property<unknown>)
      ? (join(folder, "own") as T)
      : property.default) as <T>(property: Property<T>) => T;
  const put = (...paths: string[]) => {
    for (const path of paths) {
      mkdirSync(join(folder, path, ".."), { recursive: true });
      writeFileSync(join(folder, path), "x");
    }
  };
  const own = (path: string) => join(folder, "own", path);

  test("names files by domain only: nothing outside of it is reached", async () => {
    put("secret/fullchain.pem", "secret/privkey.pem", "own/other.example/key.pem", "own/.hidden.pem");
    for (const name of ["../secret", "..", ".", "/etc", "", "other.example/../../secret", ".hidden", "a\0b", "a\\b"])
      expect(await ownFiles(name, get), name).toBeUndefined();
  });

  test("takes certbot's, Kubernetes' and plain names; another domain's are not taken", async () => {
    put("own/a.example/fullchain.pem", "own/a.example/chain.pem", "own/a.example/privkey.pem");
    put("own/b.example/tls.crt", "own/b.example/tls.key", "own/c.example.crt", "own/c.example.key");
    put("own/d.example.p12", "own/e.example/any.PFX", "own/f.example/key.pem", "own/xn--bcher-kva.example.pem");
    const pem = (chain: string, key: string) => ({ is: "pem", chainPath: own(chain), keyPath: own(key) });
    expect(await ownFiles("a.example", get)).toEqual(pem("a.example/fullchain.pem", "a.example/privkey.pem"));
    expect(await ownFiles("b.example", get)).toEqual(pem("b.example/tls.crt", "b.example/tls.key"));
    expect(await ownFiles("c.example", get)).toEqual(pem("c.example.crt", "c.example.key"));
    expect(await ownFiles("d.example", get)).toEqual({ is: "pkcs12", path: own("d.example.p12") });
    expect(await ownFiles("e.example", get)).toEqual({ is: "pkcs12", path: own("e.example/any.PFX") });
    // A key whose certificate is on its way.
    expect(await ownFiles("f.example", get)).toEqual(pem("f.example/fullchain.pem", "f.example/key.pem"));
    const both = "xn--bcher-kva.example.pem";
    expect(await ownFiles("bücher.example", get)).toEqual(pem(both, both));
    expect(await ownFiles("example", get)).toBeUndefined();
  });

  test("that is not there is an error, and so is what is no small file", async () => {
    expect(await ownFiles("a.example", get).catch(codeOf)).toBe("certificate/unreadable");
    const at = new Date();
    const load = (file: string) =>
      loadCertificate({ name: "x", chainPath: file, keyPath: file, covers: [] }, at).catch(
        (error: Error) => error.message,
      );
    execFileSync("mkfifo", [join(folder, "pipe")]);
    writeFileSync(join(folder, "huge"), Buffer.alloc(1024 * 1024 + 1));
    expect(await load(join(folder, "pipe"))).toContain("no regular file");
    expect(await load("/dev/zero")).toContain("no regular file");
    expect(await load(join(folder, "huge"))).toContain("EFBIG");
  });
});

describe("a P12 file", () => {
  let made: string;
  beforeAll(() => {
    made = mkdtempSync(join(tmpdir(), "p12-"));
    openssl(made, ..."req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca".split(" "));
    openssl(made, ..."req -newkey rsa:2048 -nodes -keyout key.pem -out own.csr -subj /CN=own".split(" "));
    openssl(made, ..."x509 -req -in own.csr -CA ca.pem -CAkey ca.key -out own.pem".split(" "));
  });
  afterAll(() => rmSync(made, { recursive: true }));
  const write = (...more: string[]): Buffer => {
    const args = "pkcs12 -export -in own.pem -inkey key.pem -certfile ca.pem -passout pass:opens -out x.p12".split(" ");
    openssl(made, ...args, ...more);
    return readFileSync(join(made, "x.p12"));
  };
  const file = "own.p12";

  test.each([[[]], [["-legacy"]], [["-iter", "10000"]], [["-keypbe", "NONE", "-certpbe", "NONE"]]])(
    "%j: its own certificate first, roots left out, the key as PEM",
    async (more) => {
      const { chain, key } = await readPkcs12(write(...more), "opens", file);
      expect(chain.trim()).toBe(readFileSync(join(made, "own.pem"), "utf8").trim());
      expect(key).toContain("-----BEGIN PRIVATE KEY-----");
    },
  );

  test("cut anywhere, or of something else, is an error with its name and never more", async () => {
    const whole = write();
    for (let at = 0; at < whole.length; at += 97) {
      const error = await readPkcs12(whole.subarray(0, at), "opens", file).catch((caught) => caught);
      expect(codeOf(error)).toBe("certificate/not-p12");
    }
    for (let at = 40; at < whole.length; at += 211) {
      const spoilt = Buffer.from(whole);
      spoilt[at] = (spoilt[at] ?? 0) ^ 0x55;
      const answer = await readPkcs12(spoilt, "opens", file).catch(codeOf);
      if (typeof answer === "string") expect(answer).toMatch(/^certificate\/(not-p12|p12-)/);
    }
  });

  test("needs its password, holds a key, and asks for no endless work", async () => {
    expect(await readPkcs12(write(), undefined, file).catch(codeOf)).toBe("certificate/p12-password");
    expect(await readPkcs12(write(), "wrong", file).catch(codeOf)).toBe("certificate/p12-password");
    expect(await readPkcs12(write("-passout", "pass:"), undefined, file)).toHaveProperty("key");
    expect(await readPkcs12(write("-iter", "200000"), "opens", file).catch(codeOf)).toBe("certificate/p12-rounds");
    expect(await readPkcs12(write("-nokeys"), "opens", file).catch(codeOf)).toBe("certificate/p12-empty");
  });
});

test.each([
  ["chat.example.org", undefined],
  ["bücher.de", undefined],
  ["mobydick", "no dot"],
  ["192.0.2.7", "address"],
  ["2001:db8::7", "address"],
  ["host.local", "local network"],
  ["chat.corp", "No public authority"],
  ["abc.onion", "No public authority"],
  ["chat.example", "No public authority"],
  ["a b", "no host name"],
])("a certificate can be had for %s: %s", (name, why) => {
  if (why === undefined) expect(whyNotOrderable(name, "public")).toBeUndefined();
  else expect(whyNotOrderable(name, "public")).toContain(why);
  const always = ["mobydick", "192.0.2.7", "2001:db8::7", "host.local", "a b"].includes(name);
  expect(whyNotOrderable(name, "private") === undefined).toBe(!always);
  expect(orderedName("BÜCHER.de")).toBe("xn--bcher-kva.de");
});

describe("the program that publishes DNS records", () => {
  const program = (text: string): string => {
    const path = join(folder, "hook");
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const calm = new AbortController().signal;

  test("gets the record's name and text as they are, whatever a shell would make of them", async () => {
    const log = join(folder, "log");
    const hook = program(`printf '%s|' "$@" >> ${log}`);
    const takeAway = await presentRecord(hook, "*.chat.example.org", "$(touch x); 'a' \"b\"", calm);
    await takeAway();
    const record = "_acme-challenge.chat.example.org|$(touch x); 'a' \"b\"|";
    expect(readFileSync(log, "utf8")).toBe(`present|${record}cleanup|${record}`);
  });

  test("fails with its last line, cleans up half its work, and is ended with the order", async () => {
    const log = join(folder, "log");
    const hook = program(`echo $1 >> ${log}; [ $1 = cleanup ] || { echo one >&2; echo zone is locked >&2; exit 3; }`);
    await expect(presentRecord(hook, "a.example", "v", calm)).rejects.toThrow(
      `${hook} present failed (3): zone is locked`,
    );
    expect(readFileSync(log, "utf8")).toBe("present\ncleanup\n");
    const ending = new AbortController();
    const slow = presentRecord(program("[ $1 = cleanup ] || exec sleep 60"), "a.example", "v", ending.signal);
    ending.abort();
    await expect(slow).rejects.toThrow("present failed");
    await expect(presentRecord(undefined, "a.example", "v", calm)).rejects.toThrow("FIREKEEPER_ACME_HOOK is not set");
    await expect(presentRecord("hook", "a.example", "v", calm)).rejects.toThrow("no absolute path");
  });
});
