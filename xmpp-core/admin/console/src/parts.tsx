/** Small pieces that several pages are made of. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Notice, Refused } from "./api.ts";
import { useSpeech } from "./words.ts";

export function Flame({ large = false }: { large?: boolean }) {
  return (
    <svg class={large ? "flame flame-large" : "flame"} viewBox="0 0 24 24" aria-hidden="true">
      <path
        class="flame-outer"
        d="M12 2c1 3 5.500 5.200 5.500 10.600A5.700 5.700 0 0 1 12 18.500a5.700 5.700 0 0 1-5.500-5.900c0-2.300 1.100-3.600 2-5 .3 1.300.9 2.200 1.900 2.600C10.100 7.300 10.700 4.400 12 2z"
      />
      <path
        class="flame-inner"
        d="M12 10.500c.7 1.500 2.300 2.300 2.300 4.600a2.300 2.300 0 0 1-4.600 0c0-1.900 1.600-2.700 2.300-4.600z"
      />
      <path class="flame-logs" d="M4 20.500 20 22M20 20.500 4 22" />
    </svg>
  );
}

export function Card({
  title,
  aside,
  flush = false,
  children,
}: {
  title: string;
  aside?: ComponentChildren;
  flush?: boolean;
  children: ComponentChildren;
}) {
  return (
    <section class="card" aria-label={title}>
      <div class="card-header">
        <h2 class="card-title">{title}</h2>
        {aside !== undefined && <div class="card-actions">{aside}</div>}
      </div>
      {flush ? children : <div class="card-body">{children}</div>}
    </section>
  );
}

export type Tone = "green" | "azure" | "orange" | "red" | "secondary";

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge tone-${tone}`}>{children}</span>;
}

export function Alert({
  tone,
  title,
  children,
}: {
  tone: "success" | "info" | "warning" | "danger";
  title: string;
  children?: ComponentChildren;
}) {
  return (
    <div class={`alert alert-${tone}`} role={tone === "danger" ? "alert" : "status"}>
      <div>
        <div class="alert-heading">{title}</div>
        {children !== undefined && <div class="alert-description">{children}</div>}
      </div>
    </div>
  );
}

/** Why the server refused; nothing without a refusal. */
export function Refusal({ refused }: { refused: Refused | undefined }) {
  const { say } = useSpeech();
  if (refused === undefined) return null;
  if (refused.code === "admin/leaving") return <Alert tone="info" title={say("replaced")} />;
  if (refused.code === "control/no-agent") return <Alert tone="info" title={say("noAgent")} />;
  if (refused.status === 0) return <Alert tone="warning" title={say("unreachable")} />;
  return (
    <Alert tone="danger" title={refused.message}>
      {refused.hint || undefined}
    </Alert>
  );
}

export function Loading() {
  const { say } = useSpeech();
  return (
    <div class="text-center py-5 text-secondary" role="status">
      <span class="spinner-border spinner-border-sm me-2" aria-hidden="true" />
      {say("loading")}
    </div>
  );
}

/** A button that asks once more before it does what cannot be taken back. */
export function SureButton({
  label,
  sure,
  about,
  busy = false,
  onSure,
}: {
  label: string;
  sure: string;
  /** What it is about, for those who do not see where it stands. */
  about: string;
  busy?: boolean;
  onSure: () => void;
}) {
  const [asked, ask] = useState(false);
  return (
    <button
      type="button"
      class={asked ? "btn btn-sm btn-danger" : "btn btn-sm"}
      disabled={busy}
      aria-label={`${asked ? sure : label} ${about}`}
      onBlur={() => ask(false)}
      onKeyDown={(event) => event.key === "Escape" && ask(false)}
      onClick={() => {
        if (asked) onSure();
        ask(!asked);
      }}
    >
      {asked ? sure : label}
    </button>
  );
}

export function Sentences({ list }: { list: readonly string[] }) {
  return (
    <ul class="sentences">
      {list.map((each) => (
        <li key={each}>{each}</li>
      ))}
    </ul>
  );
}

export function noticeText({ where, message, hint }: Notice): string {
  return [where === undefined ? message : `${where}: ${message}`, hint].filter(Boolean).join(" ");
}
