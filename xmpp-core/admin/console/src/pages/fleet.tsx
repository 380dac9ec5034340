import type { Branch } from "../api.ts";
import { Alert, Badge, Card, Loading, Refusal, Sentences, type Tone } from "../parts.tsx";
import { useAnswer } from "../use-answer.ts";
import { useSpeech } from "../words.ts";

/** Branches report once a minute. */
const everyMs = 30_000;

export function Fleet() {
  const { say } = useSpeech();
  const { answer, refused } = useAnswer("/api/fleet", everyMs);
  if (answer === undefined) return refused === undefined ? <Loading /> : <Refusal refused={refused} />;
  if (answer === null || answer.branches.length === 0)
    return (
      <div class="stack">
        <Refusal refused={refused} />
        <Card title={say("branches")}>
          <p>{say("noFleet")}</p>
          <p class="text-secondary mb-0">{say("noFleetHint")}</p>
        </Card>
      </div>
    );
  const { branches, conflicts, warnings } = answer;
  return (
    <div class="stack">
      <Refusal refused={refused} />
      {conflicts.length > 0 && (
        <Alert tone="danger" title={say("conflicts")}>
          <Sentences list={conflicts} />
        </Alert>
      )}
      {warnings.map((each) => (
        <Alert key={each} tone="warning" title={each} />
      ))}
      <Card title={`${say("branches")} · ${branches.length}`} flush>
        <table class="table table-vcenter card-table table-mobile-md">
          <thead>
            <tr>
              <th scope="col">{say("branch")}</th>
              <th scope="col">{say("domain")}</th>
              <th scope="col">{say("revision")}</th>
              <th scope="col">{say("state")}</th>
              <th scope="col">{say("certificate")}</th>
              <th scope="col">{say("online")}</th>
              <th scope="col">{say("version")}</th>
              <th scope="col">{say("lastHeard")}</th>
            </tr>
          </thead>
          <tbody>
            {branches.map((each) => (
              <Row key={each.branch} {...each} />
            ))}
          </tbody>
        </table>
      </Card>
    </div>
  );
}

function Row({ branch, heard, stale, report }: Branch) {
  const { say, date } = useSpeech();
  const days = report?.certificateDays ?? null;
  return (
    <tr>
      <th scope="row" data-label={say("branch")}>
        {branch}
      </th>
      <td data-label={say("domain")} class="break">
        {report?.domain ?? "–"}
      </td>
      <td data-label={say("revision")} class="tabular">
        {report === null ? "–" : report.revision}
        {report !== null && report.revision !== report.proven && (
          <div class="text-secondary small">{say("notProven", { n: report.proven })}</div>
        )}
      </td>
      <td data-label={say("state")}>{report === null ? "–" : <Standing {...report} />}</td>
      <td data-label={say("certificate")}>
        {days === null ? (
          "–"
        ) : (
          <Badge tone={certificateTone(days)}>{days < 0 ? say("expired") : say("daysLeft", { n: days })}</Badge>
        )}
      </td>
      <td data-label={say("online")} class="tabular">
        {report?.sessions ?? "–"}
      </td>
      <td data-label={say("version")}>{report?.program ?? "–"}</td>
      <td data-label={say("lastHeard")}>
        {heard === null ? say("never") : date(heard)}
        {stale && heard !== null && (
          <div>
            <Badge tone="orange">{say("silent")}</Badge>
          </div>
        )}
      </td>
    </tr>
  );
}

function Standing({ pending, rejected, held, frozen, error }: NonNullable<Branch["report"]>) {
  const { say } = useSpeech();
  const found: [Tone, string][] = [];
  if (error !== null) found.push(["red", error]);
  if (held) found.push(["orange", say("isHeld")]);
  if (frozen) found.push(["orange", say("isFrozen")]);
  if (pending > 0) found.push(["azure", pending === 1 ? say("plannedOne") : say("planned", { n: pending })]);
  if (rejected > 0) found.push(["orange", say("rejected", { n: rejected })]);
  if (found.length === 0) found.push(["green", say("asWanted")]);
  return (
    <div class="badges">
      {found.map(([tone, text]) => (
        <Badge key={text} tone={tone}>
          {text}
        </Badge>
      ))}
    </div>
  );
}

export function certificateTone(days: number): Tone {
  return days < 3 ? "red" : days < 21 ? "orange" : "green";
}
