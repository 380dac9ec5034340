import type { Joined } from "../frames.ts";
import type { Client } from "./client.ts";

/** What a peer that has been told the end may take to end too, as long as nothing moves. */
const lingerMs = 10_000;

/** Relays between two clients until both have ended; `done` gets the counts once. Each is slowed to what the other takes. */
export function relay(first: Client, other: Client, done: (joined: Joined) => void): void {
  let reason: string | undefined;
  let open = 2;
  const forth = oneWay(first, other);
  const back = oneWay(other, first);
  const gone = (client: Client, peer: Client) => {
    open -= 1;
    reason ??= client.ended ? "closed" : "reset";
    if (open === 0) done({ other: other.number, forth: forth(), back: back(), reason });
    // Cut by a reset there is nothing more to come; after an orderly end the rest may still be on its way out.
    else if (!client.ended) peer.drop("reset");
    else {
      if (!peer.socket.writableEnded) peer.socket.end();
      peer.socket.setTimeout(lingerMs, () => peer.drop("closed"));
    }
  };
  first.socket.once("close", () => gone(first, other));
  other.socket.once("close", () => gone(other, first));
}

/** Starts one direction; the result tells how many bytes the receiver has taken. */
function oneWay(from: Client, to: Client): () => number {
  const source = from.socket;
  const sink = to.socket;
  let bytes = 0;
  const pass = (chunk: Buffer) => {
    bytes += chunk.length;
    if (!sink.write(chunk)) source.pause();
  };
  source.removeAllListeners("data");
  for (const chunk of from.returned.splice(0)) pass(chunk);
  source.on("data", pass);
  sink.on("drain", () => source.resume());
  if (from.ended) sink.end();
  else source.once("end", () => sink.end());
  from.state = "joined";
  source.resume();
  return () => bytes - (sink.destroyed ? sink.writableLength : 0);
}
