import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { CoreStatus } from "../../../../control/contract.ts";
import { post, type Refused, type Status } from "../api.ts";
import { Alert, Badge, Card, Loading, Refusal, Sentences, type Tone } from "../parts.tsx";
import { useAnswer } from "../use-answer.ts";
import { useSpeech } from "../words.ts";
import { certificateTone } from "./fleet.tsx";

export function Overview() {
  const { say } = useSpeech();
  const { answer, refused, reload } = useAnswer("/api/status", 3000);
  if (answer === undefined) return refused === undefined ? <Loading /> : <Refusal refused={refused} />;
  const { server } = answer;
  return (
    <div class="stack">
      <Refusal refused={refused} />
      {server.weakens.length > 0 && (
        <Alert tone="warning" title={say("weakens")}>
          <Sentences list={server.weakens} />
        </Alert>
      )}
      <Figures {...answer} />
      <div class="halves">
        <Service {...answer} />
        <Agent {...answer} onChanged={reload} />
      </div>
      <div class="halves">
        <Listeners list={server.listeners} />
        <Certificates list={server.certificates} />
      </div>
      {server.notices.length > 0 && (
        <Card title={say("notices")}>
          <Sentences list={server.notices} />
        </Card>
      )}
    </div>
  );
}

function Figures({ server, ready }: Status) {
  const { say, name } = useSpeech();
  const fine = ready.length === 0;
  return (
    <div class="figures">
      <div class={`card figure figure-${fine ? "fine" : "bad"}`} role="status">
        <span class={`status-dot ${fine ? "status-green" : "status-red status-dot-animated"}`} aria-hidden="true" />
        <div>
          <div class="figure-text">{say(fine ? "ready" : "notReady")}</div>
          {!fine && <div class="text-secondary">{ready.map((each) => name("missing", each)).join(", ")}</div>}
        </div>
      </div>
      <Figure
        label={say("online")}
        value={server.sessions}
        more={server.detachedSessions > 0 ? say("waitingToResume", { n: server.detachedSessions }) : ""}
      />
      <Figure label={say("accounts")} value={server.accounts} more="" />
      <Figure
        label={say("revision")}
        value={server.revision}
        more={server.revision === server.proven ? say("proven") : say("notProven", { n: server.proven })}
      />
    </div>
  );
}

function Figure({ label, value, more }: { label: string; value: number; more: string }) {
  return (
    <div class="card figure">
      <div>
        <div class="subheader">{label}</div>
        <div class="figure-number">{value}</div>
        {more !== "" && <div class="text-secondary small">{more}</div>}
      </div>
    </div>
  );
}

function Facts({ list }: { list: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {list.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Service({ server }: Status) {
  const { say, date } = useSpeech();
  const aliases = server.aliases.map(
    (each) => `${each.name} (${each.until === null ? say("forEver") : say("until", { date: date(each.until) })})`,
  );
  return (
    <Card title={say("service")}>
      <Facts
        list={[
          [say("domain"), <strong key="domain">{server.domain}</strong>],
          ...(aliases.length > 0 ? [[say("aliases"), aliases.join(", ")] as const] : []),
          [say("storage"), server.storage === "ok" ? <Badge tone="green">ok</Badge> : server.storage],
          [say("version"), server.version],
          [say("running"), date(server.startedAt)],
        ]}
      />
    </Card>
  );
}

function Agent({ agent, onChanged }: Status & { onChanged: () => void }) {
  const { say, name } = useSpeech();
  const [refused, refuse] = useState<Refused | undefined>();
  if (agent === null)
    return (
      <Card title={say("agent")}>
        <p class="text-secondary mb-0">{say("noAgent")}</p>
      </Card>
    );
  const resume = (): void => {
    post("/api/resume").then(onChanged, refuse);
  };
  return (
    <Card title={say("agent")}>
      <Refusal refused={refused} />
      {agent.held !== null && (
        <Alert tone="warning" title={say("holds")}>
          <p>{agent.held}</p>
          <button type="button" class="btn btn-sm" onClick={resume}>
            {say("resume")}
          </button>
        </Alert>
      )}
      {[agent.frozen, agent.awaits].map((sentence) =>
        sentence ? <Alert key={sentence} tone="warning" title={sentence} /> : undefined,
      )}
      <Facts
        list={[
          [say("mode"), name("mode", agent.mode)],
          [say("store"), agent.store],
          ...(agent.window ? [[say("window"), agent.window] as const] : []),
          [
            say("pending"),
            agent.pending === 0 ? (
              say("pendingNone")
            ) : (
              <a href="#changes">
                {agent.pending === 1 ? say("plannedOne") : say("pendingSome", { n: agent.pending })}
              </a>
            ),
          ],
          ...(agent.lastError === null ? [] : [[say("lastError"), agent.lastError] as const]),
        ]}
      />
    </Card>
  );
}

const stateTones = { open: "green", closed: "secondary", failed: "red" } as const satisfies Record<string, Tone>;

function Listeners({ list }: { list: CoreStatus["listeners"] }) {
  const { say, name } = useSpeech();
  return (
    <Card title={say("listeners")} flush>
      <table class="table table-vcenter card-table">
        <thead class="visually-hidden">
          <tr>
            <th scope="col">{say("port")}</th>
            <th scope="col">{say("what")}</th>
            <th scope="col">{say("state")}</th>
          </tr>
        </thead>
        <tbody>
          {list.map((each) => (
            <tr key={each.name}>
              <td class="w-1 fw-bold tabular">{each.port}</td>
              <td>
                {name("listener", each.name)}
                <div class="text-secondary small">{each.error ?? each.address}</div>
              </td>
              <td class="w-1">
                <Badge tone={stateTones[each.state]}>{name("state", each.state)}</Badge>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}

const day = 86_400_000;

function Certificates({ list }: { list: CoreStatus["certificates"] }) {
  const { say, name, date } = useSpeech();
  return (
    <Card title={say("certificates")} flush>
      <ul class="list-group list-group-flush">
        {list.map((each) => {
          const days = each.daysLeft ?? Math.floor((Date.parse(each.until) - Date.now()) / day);
          return (
            <li key={each.sha256} class="list-group-item">
              <div class="certificate">
                <strong>{each.name}</strong>
                <span title={date(each.until)}>
                  <Badge tone={certificateTone(days)}>{days < 0 ? say("expired") : say("daysLeft", { n: days })}</Badge>
                </span>
                {each.selfSigned ? (
                  <Badge tone="azure">{say("selfSigned")}</Badge>
                ) : (
                  each.source !== undefined && (
                    <span class="text-secondary small">
                      {say("source")}: {name("source", each.source)}
                    </span>
                  )
                )}
              </div>
              {each.problem !== undefined && <div class="text-danger">{each.problem}</div>}
              <div class="text-secondary small">
                {say("covers")} {each.names.join(", ")}
              </div>
              {each.renewal !== undefined && (
                <div class="text-secondary small">{say("renewed", { date: date(each.renewal) })}</div>
              )}
              <div class="text-secondary small">
                {say("fingerprint")} <code class="fingerprint">{pairs(each.sha256)}</code>
              </div>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

/** As browsers and clients show it: pairs, in groups that can be read aloud and wrapped. */
function pairs(hex: string): string {
  const plain = hex.replace(/[^0-9a-f]/gi, "").toUpperCase();
  return (plain.match(/.{1,8}/g) ?? []).join(" ");
}
