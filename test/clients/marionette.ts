/** Marionette, by which Mozilla's programs can be driven from outside: one TCP connection, each packet a length, a colon and JSON. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { until } from "../support/processes.ts";

export interface Marionette {
  /** Runs the body of an async function in the program itself, with its privileges; what it returns comes back as JSON. */
  run<Result>(script: string, ...values: readonly unknown[]): Promise<Result>;
  close(): void;
}

type Answer = [kind: 1, id: number, error: { error: string; message: string } | null, result: unknown];

/** Connects to a program that was started with `--marionette --remote-allow-system-access`, waiting until it listens. */
export async function openMarionette(port: number, withinMs: number, alive: () => string): Promise<Marionette> {
  let socket: Socket | undefined;
  const tries = async (): Promise<boolean> => {
    const attempt = connect(port, "127.0.0.1");
    const connected = await once(attempt, "connect").then(
      () => true,
      () => false,
    );
    if (connected) socket = attempt;
    return connected;
  };
  await until(tries, withinMs, () => `nothing listens for Marionette\n${alive()}`);
  if (socket === undefined) throw new Error("no connection");
  const connection = socket;
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let rest = Buffer.alloc(0);
  let ids = 0;
  let greeted = (): void => {};
  const greeting = new Promise<void>((resolve) => {
    greeted = resolve;
  });
  connection.on("data", (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (let colon = rest.indexOf(":"); colon > 0; colon = rest.indexOf(":")) {
      const length = Number(rest.subarray(0, colon).toString());
      if (rest.length < colon + 1 + length) return;
      const packet: unknown = JSON.parse(rest.subarray(colon + 1, colon + 1 + length).toString());
      rest = rest.subarray(colon + 1 + length);
      if (Array.isArray(packet)) settle(packet as Answer);
      else greeted();
    }
  });
  const end = (error?: Error): void => {
    for (const { reject } of waiting.values()) reject(error ?? new Error(`Marionette's connection ended\n${alive()}`));
    waiting.clear();
  };
  connection.on("error", end);
  connection.on("close", () => end());
  const settle = ([, id, error, result]: Answer): void => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (error === null) one?.resolve(result);
    else one?.reject(new Error(`${error.error}: ${error.message}`));
  };
  const command = (name: string, parameters: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++ids;
      waiting.set(id, { resolve, reject });
      const packet = Buffer.from(JSON.stringify([0, id, name, parameters]));
      connection.write(Buffer.concat([Buffer.from(`${packet.length}:`), packet]));
    });
  await greeting;
  await command("WebDriver:NewSession", { capabilities: { alwaysMatch: { unhandledPromptBehavior: "ignore" } } });
  await command("Marionette:SetContext", { value: "chrome" });
  return {
    async run<Result>(script: string, ...values: readonly unknown[]): Promise<Result> {
      const answer = (await command("WebDriver:ExecuteScript", {
        script: `return (async (...values) => {${script}})(...arguments)`,
        args: values,
        scriptTimeout: 60_000,
      })) as { value: Result };
      return answer.value;
    },
    close: () => connection.destroy(),
  };
}
