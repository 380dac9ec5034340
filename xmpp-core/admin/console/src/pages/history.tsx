import { useState } from "preact/hooks";
import { type Outcome, post, type Refused, type Revision } from "../api.ts";
import { Alert, Badge, Card, Loading, Refusal, Sentences, SureButton, type Tone } from "../parts.tsx";
import { useAnswer } from "../use-answer.ts";
import { useSpeech } from "../words.ts";
import { Line } from "./changes.tsx";

const tones: Readonly<Record<string, Tone>> = {
  proven: "green",
  applied: "azure",
  found: "azure",
  undone: "secondary",
};

export function History() {
  const { say } = useSpeech();
  const { answer, refused, reload } = useAnswer("/api/history");
  const status = useAnswer("/api/status", 5000).answer;
  const [failed, fail] = useState<Refused | undefined>();
  const [outcome, setOutcome] = useState<Outcome | undefined>();
  const [busy, setBusy] = useState(false);
  if (answer === undefined) return refused === undefined ? <Loading /> : <Refusal refused={refused} />;
  const goBack = (revision: number): void => {
    setBusy(true);
    post<Outcome>("/api/rollback", { revision })
      .then(
        (done) => {
          fail(undefined);
          setOutcome(done);
        },
        (why: Refused) => {
          setOutcome(undefined);
          fail(why);
        },
      )
      .finally(() => {
        setBusy(false);
        reload();
      });
  };
  return (
    <div class="stack">
      <Refusal refused={failed ?? refused} />
      {outcome !== undefined && <Result outcome={outcome} />}
      <Card title={say("history")} flush>
        <p class="card-body text-secondary mb-0">{answer.length > 0 ? say("rollbackHint") : say("noHistory")}</p>
        <ul class="list-group list-group-flush">
          {answer.map((each) => (
            <Entry
              key={each.revision}
              revision={each}
              inForce={each.revision === status?.server.revision}
              busy={busy}
              onReturn={() => goBack(each.revision)}
            />
          ))}
        </ul>
      </Card>
    </div>
  );
}

function Result({ outcome }: { outcome: Outcome }) {
  const { say } = useSpeech();
  const good = outcome.is === "applied" || outcome.is === "in step";
  const n = outcome.revision ?? outcome.plan.revision;
  return (
    <Alert
      tone={good ? "success" : "warning"}
      title={good ? say("rolledBack", { n }) : say("outcome", { is: outcome.is })}
    >
      {outcome.why.length > 0 ? <Sentences list={outcome.why} /> : undefined}
    </Alert>
  );
}

function Entry({
  revision,
  inForce,
  busy,
  onReturn,
}: {
  revision: Revision;
  inForce: boolean;
  busy: boolean;
  onReturn: () => void;
}) {
  const { say, date } = useSpeech();
  const kept = ["proven", "applied", "found"].includes(revision.result);
  const label =
    revision.changes.length === 1 ? say("plannedOneDone") : say("changesDone", { n: revision.changes.length });
  return (
    <li class="list-group-item revision">
      <div class="revision-head">
        <span class="revision-number tabular">{revision.revision}</span>
        <div>
          <div>
            {revision.cause} <Badge tone={tones[revision.result] ?? "red"}>{revision.result}</Badge>{" "}
            {inForce && <Badge tone="green">{say("inForce")}</Badge>}
          </div>
          <div class="text-secondary small">
            {date(revision.at)} · {say("by")} {revision.by}
          </div>
          {revision.why !== undefined && <div class="text-danger small">{revision.why}</div>}
        </div>
        {kept && !inForce && (
          <SureButton
            label={say("rollback")}
            sure={say("reallyRollback", { n: revision.revision })}
            about={`${say("revision")} ${revision.revision}`}
            busy={busy}
            onSure={onReturn}
          />
        )}
      </div>
      {revision.changes.length > 0 && (
        <details>
          <summary>{label}</summary>
          <ul class="list-group list-group-flush changes">
            {revision.changes.map((each) => (
              <Line key={`${each.subject} ${each.action}`} change={each} />
            ))}
          </ul>
        </details>
      )}
    </li>
  );
}
