import { spawn } from "node:child_process";

/**
 * Tells systemd (sd_notify) where it started us and waits for that: Node has no datagram sockets for it, systemd's own
 * program does. Anywhere else this does nothing.
 */
export function tellSystemd(state: "READY=1" | "STOPPING=1"): void {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  spawn("systemd-notify", [`--pid=${process.pid}`, state], { stdio: "ignore" }).on("error", () => {});
}
