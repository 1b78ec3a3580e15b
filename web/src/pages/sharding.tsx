import type { ShardingWorkflow } from "../api";
import { shardingCommands } from "../commands";
import { useLive } from "../live";
import { href } from "../router";
import { Badge, CommandButton, count, Loaded, Page, seconds } from "../ui";
import { Movement } from "./workflow";

export function shardingState(view: ShardingWorkflow) {
  const kind = view.state === "error" ? "bad" : view.state === "complete" || view.state === "running" ? "good" : view.state === "cancelled" ? "warn" : "plain";
  return (
    <Badge kind={kind}>
      {view.state}
      {view.substate ? `: ${view.substate}` : ""}
    </Badge>
  );
}

export function ShardingView({ branch, name }: { branch: string; name: string }) {
  const live = useLive<ShardingWorkflow>(`sharding/${branch}/${name}`);
  return (
    <Page title={`${branch}/${name}`} crumbs={[["Workflows", href("workflows")]]}>
      <Loaded live={live}>
        {(view) => {
          const { record } = view;
          return (
            <>
              <p>
                {record.kind} of {record.source_keyspace} {(record.source_shards ?? []).join(", ")} to {record.target_keyspace} {(record.target_shards ?? []).join(", ")} {shardingState(view)}{" "}
                {view.under_way && <Badge kind="plain">{view.under_way} is under way</Badge>}
              </p>
              <Diagram state={view.state} />
              <div class="buttons" role="group" aria-label="actions">
                {shardingCommands(view).map((command) => (
                  <CommandButton key={command.label} command={command} />
                ))}
              </div>
              {view.error && (
                <p class="error" role="alert">
                  {view.error}
                </p>
              )}
              {view.engine_error && <p class="error">{view.engine_error}</p>}
              {record.verification && (
                <p>
                  Verified {new Date(Number(record.verification.ended_ms)).toISOString().slice(0, 19)}Z: {record.verification.agrees ? "no row differs" : `rows differ: ${record.verification.summary ?? ""}`}
                </p>
              )}
              {view.tables && (
                <>
                  <p class="muted">
                    {count(Number(view.rows_copied ?? 0), "row")} copied, lag {seconds(Number(view.lag_seconds ?? 0))}. {view.traffic}{" "}
                    <a href={href("workflow", record.target_keyspace ?? "", record.name)}>Streams</a>
                  </p>
                  <Movement keyspace={record.target_keyspace ?? ""} name={record.name} />
                </>
              )}
              <section class="card" aria-label="log">
                <h2>Log</h2>
                <ol class="rows">
                  {(record.log ?? []).map((entry, i) => (
                    <li key={i}>
                      <span class="muted">{new Date(Number(entry.at_ms)).toISOString().slice(0, 19)}Z</span>
                      <span>{entry.who}</span>
                      <span>{entry.what}</span>
                    </li>
                  ))}
                </ol>
              </section>
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}

const nodes: [state: string, x: number, y: number][] = [
  ["copying", 60, 30],
  ["running", 210, 30],
  ["switched_replicas", 390, 30],
  ["switched_primaries", 590, 30],
  ["cutover", 770, 30],
  ["complete", 920, 30],
  ["cancelled", 130, 110],
  ["error", 390, 110],
  ["reversed_cutover", 770, 110],
];
const edges: [from: string, to: string][] = [
  ["copying", "running"],
  ["running", "switched_replicas"],
  ["switched_replicas", "switched_primaries"],
  ["switched_primaries", "cutover"],
  ["cutover", "complete"],
  ["copying", "cancelled"],
  ["running", "cancelled"],
  ["cutover", "reversed_cutover"],
  ["reversed_cutover", "complete"],
];

function Diagram({ state }: { state: string }) {
  const at = new Map(nodes.map(([name, x, y]) => [name, { x, y }]));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="states">
      <svg class="diagram" viewBox="0 0 980 140" role="img" aria-label={`the states of a workflow; this one is in ${state}`}>
        {edges.map(([from, to]) => {
          const a = at.get(from)!;
          const b = at.get(to)!;
          return <line key={from + to} class="edge" x1={a.x} y1={a.y} x2={b.x} y2={b.y} />;
        })}
        {nodes.map(([name, x, y]) => {
          const width = name.length * 8 + 22;
          return (
            <g key={name} class={name === state ? "node lit" : "node"}>
              <rect x={x - width / 2} y={y - 15} width={width} height="30" rx="15" />
              <text x={x} y={y + 5}>
                {name}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}
