// Statements of all vtgates that cost most.
import type { Queries, StatementUse } from "../api";
import { useLive } from "../live";
import { href } from "../router";
import { count, Loaded, Page } from "../ui";

const orders: [order: string, text: string][] = [
  ["time", "By time"],
  ["count", "By count"],
  ["rows", "By rows"],
  ["errors", "By errors"],
];

export function QueriesView({ order }: { order: string }) {
  const live = useLive<Queries>(`queries/${order}`);
  return (
    <Page title="Queries">
      <nav class="tabs" aria-label="order of the statements">
        {orders.map(([name, text]) => (
          <a key={name} href={href("queries", name)} aria-current={name === order ? "page" : undefined}>
            {text}
          </a>
        ))}
      </nav>
      <Loaded live={live}>
        {(data) => (
          <>
            <p class="muted">
              {data.gates.length === 0
                ? "No vtgate has announced itself."
                : `Since the start of each of ${count(data.gates.length, "vtgate")}: ${data.gates.map((gate) => gate.name).join(", ")}. Literals are not kept.`}
            </p>
            {data.gates
              .filter((gate) => gate.error)
              .map((gate) => (
                <p key={gate.name} class="error">
                  {gate.name}: {gate.error}
                </p>
              ))}
            {data.statements.length === 0 && data.gates.length > 0 && <p>No statements.</p>}
            <ol class="tables statements">
              {data.statements.map((use) => (
                <Statement key={`${use.target} ${use.query}`} use={use} />
              ))}
            </ol>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function time(ns: number): string {
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(ns < 1e7 ? 1 : 0)} ms`;
  return ns < 90e9 ? `${(ns / 1e9).toFixed(1)} s` : `${Math.round(ns / 60e9)} min`;
}

function Statement({ use }: { use: StatementUse }) {
  return (
    <li class="card">
      <details>
        <summary>
          <code>{use.query}</code>
          <span class="muted">
            {count(use.count, "run")}, {time(use.time_ns)} in all, {time(use.time_ns / Math.max(use.count, 1))} each, {time(use.longest_ns)} the longest, {count(use.rows, "row")}
            {use.errors > 0 && <span class="error">, {count(use.errors, "error")}</span>}
          </span>
        </summary>
        <p>
          Target {use.target}. Plan: {use.plan}
          {use.keyspace && ` in ${use.keyspace}`}
          {use.vindex && `, by vindex ${use.vindex}`}.
        </p>
        {use.sent && (
          <>
            <p class="muted">Sent to the shards:</p>
            <pre tabIndex={0} aria-label="what the shards get">
              {use.sent}
            </pre>
          </>
        )}
        <p class="muted">Run by {use.gates.join(", ")}.</p>
      </details>
    </li>
  );
}
