import { useState } from "preact/hooks";
import { post, type Refused } from "../api.ts";
import { Alert, Badge, Card, Loading, Refusal, SureButton } from "../parts.tsx";
import { useAnswer } from "../use-answer.ts";
import { useSpeech } from "../words.ts";

export function Sessions() {
  const { say, date } = useSpeech();
  const { answer, refused, reload } = useAnswer("/api/sessions", 3000);
  const [search, look] = useState("");
  const [failed, fail] = useState<Refused | undefined>();
  const [ended, setEnded] = useState("");
  if (answer === undefined) return refused === undefined ? <Loading /> : <Refusal refused={refused} />;
  const found = answer.sessions.filter((each) =>
    `${each.address} ${each.remote}`.includes(search.trim().toLowerCase()),
  );
  const end = (address: string): void => {
    post("/api/sessions/end", { address }).then(() => {
      setEnded(address);
      fail(undefined);
      reload();
    }, fail);
  };
  const field = (
    <input
      class="form-control form-control-sm"
      type="search"
      aria-label={say("search")}
      placeholder={say("search")}
      value={search}
      onInput={(event) => look(event.currentTarget.value)}
    />
  );
  return (
    <div class="stack">
      <Refusal refused={failed ?? refused} />
      {ended !== "" && <Alert tone="success" title={say("ended", { address: ended })} />}
      <Card title={`${say("sessions")} · ${answer.total}`} aside={field} flush>
        {answer.sessions.length === 0 ? (
          <div class="card-body text-secondary">{say("noSessions")}</div>
        ) : (
          <table class="table table-vcenter card-table table-mobile-md">
            <thead>
              <tr>
                <th scope="col">{say("account")}</th>
                <th scope="col">{say("client")}</th>
                <th scope="col">{say("since")}</th>
                <th scope="col">{say("presence")}</th>
                <th scope="col">{say("encryption")}</th>
                <th scope="col" class="w-1">
                  <span class="visually-hidden">{say("end")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {found.map((each) => (
                <tr key={each.address}>
                  <td data-label={say("account")}>
                    <strong>{each.account}</strong>
                    <div class="text-secondary small break">{each.address}</div>
                  </td>
                  <td data-label={say("client")}>
                    {each.connected ? each.remote : <Badge tone="orange">{say("disconnected")}</Badge>}
                    {each.streamManaged && <div class="text-secondary small">{say("resumable")}</div>}
                  </td>
                  <td data-label={say("since")}>{date(each.since)}</td>
                  <td data-label={say("presence")}>{each.presence}</td>
                  <td data-label={say("encryption")}>
                    {each.tls ?? (each.connected ? <Badge tone="red">{say("notEncrypted")}</Badge> : "")}
                  </td>
                  <td>
                    <SureButton
                      label={say("end")}
                      sure={say("reallyEnd")}
                      about={each.address}
                      onSure={() => end(each.address)}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Card>
    </div>
  );
}
