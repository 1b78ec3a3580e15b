import { useEffect, useRef, useState } from "preact/hooks";
import { read, type Schemas, type Stream, type VDiff, type WorkflowPage } from "../api";
import { workflowCommands } from "../commands";
import { useLive } from "../live";
import { href } from "../router";
import { Badge, Bar, CommandButton, count, Loaded, Page, seconds } from "../ui";
import { places, stateKind } from "./workflows";

interface Sample {
  at: number; // Milliseconds.
  lag: number;
  rows: Record<string, number>; // By stream.
}
const samplesMax = 240;

function key(stream: Stream): string {
  return `${stream.target} ${stream.id}`;
}

// What this window has seen so far, once a second.
function useHistory(data: WorkflowPage | undefined): Sample[] {
  const samples = useRef<Sample[]>([]);
  const [, redraw] = useState(0);
  const newest = useRef(data);
  newest.current = data;
  useEffect(() => {
    const timer = setInterval(() => {
      const seen = newest.current;
      if (!seen) return;
      samples.current = [
        ...samples.current.slice(1 - samplesMax),
        { at: Date.now(), lag: seen.lag_s, rows: Object.fromEntries(seen.streams.map((s) => [key(s), s.rows_copied])) },
      ];
      redraw((n) => n + 1);
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  return samples.current;
}

// Rows a second over the last seconds.
function rate(samples: Sample[], stream: Stream): number {
  const last = samples.at(-1);
  const first = samples.at(-6) ?? samples[0];
  if (!last || !first || last.at === first.at) return 0;
  return Math.max(0, ((last.rows[key(stream)] ?? 0) - (first.rows[key(stream)] ?? 0)) / ((last.at - first.at) / 1000));
}

export function WorkflowView({ keyspace, name }: { keyspace: string; name: string }) {
  const live = useLive<WorkflowPage>(`workflow/${keyspace}/${name}`);
  const samples = useHistory(live.data);
  return (
    <Page
      title={`${keyspace}.${name}`}
      crumbs={[["Workflows", href("workflows")]]}
      actions={
        live.data &&
        !live.error &&
        workflowCommands(live.data).map((command) => <CommandButton key={command.label} command={command} />)
      }
    >
      <Loaded live={live}>
        {(data) => (
          <>
            <p>
              {data.type} <Badge kind={stateKind(data.state)}>{data.state}</Badge> {places(data.source)} to {places(data.target)}. Lag {seconds(data.lag_s)}.
            </p>
            <p>Traffic: {data.traffic}</p>
            <Flow data={data} samples={samples} />
            <Progress data={data} samples={samples} />
            <LagChart samples={samples} />
            <Report diff={data.vdiff} />
            <section class="card" aria-label="streams">
              <h2>Streams</h2>
              <ul class="rows">
                {data.streams.map((stream) => (
                  <li key={key(stream)}>
                    <span>
                      {stream.source} to {stream.target} <span class="muted">(stream {stream.id} on {stream.tablet})</span>
                    </span>
                    <span>
                      <Badge kind={stateKind(stream.state)}>{stream.state}</Badge> {count(stream.rows_copied, "row")} copied
                    </span>
                    {stream.message && <span class={stream.state === "Error" ? "error" : "muted"}>{stream.message}</span>}
                    <span class="muted position">{stream.position}</span>
                  </li>
                ))}
              </ul>
            </section>
          </>
        )}
      </Loaded>
    </Page>
  );
}

// What moves below a sharding workflow.
export function Movement({ keyspace, name }: { keyspace: string; name: string }) {
  const live = useLive<WorkflowPage>(`workflow/${keyspace}/${name}`);
  const samples = useHistory(live.data);
  if (!live.data || live.error) return null;
  return (
    <>
      <Flow data={live.data} samples={samples} />
      <Progress data={live.data} samples={samples} />
      <LagChart samples={samples} />
      <Report diff={live.data.vdiff} />
    </>
  );
}

// Data in flight: source and target shards as boxes, streams as arrows with their rate.
function Flow({ data, samples }: { data: WorkflowPage; samples: Sample[] }) {
  const sources = [...new Set(data.streams.map((s) => s.source))].sort();
  const targets = [...new Set(data.streams.map((s) => s.target))].sort();
  const height = Math.max(sources.length, targets.length) * 52 + 8;
  if (data.streams.length === 0 || data.streams.length > 64) return null;
  const y = (list: string[], item: string) => ((list.indexOf(item) + 0.5) * height) / list.length;
  const box = (item: string, x: number, list: string[]) => (
    <g key={item}>
      <rect class="box" x={x} y={y(list, item) - 17} width="150" height="34" rx="6" />
      <text class="boxname" x={x + 75} y={y(list, item) + 5}>
        {item}
      </text>
    </g>
  );
  return (
    <section class="card" aria-label="data in flight">
      <svg class="flow" viewBox={`0 0 640 ${height}`} role="img" aria-label={data.streams.map((s) => `${s.source} to ${s.target}: ${s.state}, ${Math.round(rate(samples, s))} rows a second`).join("; ")}>
        {data.streams.map((stream) => {
          const from = y(sources, stream.source);
          const to = y(targets, stream.target);
          const kind = stream.state === "Error" ? "bad" : stream.state === "Stopped" ? "off" : "on";
          return (
            <g key={key(stream)}>
              <path class={`arrow ${kind}`} d={`M 152 ${from} C 260 ${from} 380 ${to} 480 ${to} l -8 -5 m 8 5 l -8 5`} />
              <text class="ratename" x="320" y={(from + to) / 2 - 5 + (to > from ? 12 : to < from ? -2 : 0)}>
                {stream.copying.length > 0 ? `${Math.round(rate(samples, stream)).toLocaleString("en")} rows/s` : stream.state.toLowerCase()}
              </text>
            </g>
          );
        })}
        {sources.map((item) => box(item, 2, sources))}
        {targets.map((item) => box(item, 488, targets))}
      </svg>
    </section>
  );
}

function rowsByTable(schemas: Schemas, shards: string[]): Record<string, number> {
  const rows: Record<string, number> = {};
  for (const shard of shards) {
    for (const table of schemas[shard]?.table_definitions ?? []) rows[table.name] = (rows[table.name] ?? 0) + Number(table.row_count);
  }
  return rows;
}

// Copied rows by table: the servers' estimates of both sides, read every few seconds while rows are copied.
function Progress({ data, samples }: { data: WorkflowPage; samples: Sample[] }) {
  const [rows, setRows] = useState<{ source: Record<string, number>; target: Record<string, number> }>();
  const copying = data.streams.some((s) => s.copying.length > 0);
  const source = data.source.keyspace ?? "";
  const target = data.target.keyspace ?? "";
  useEffect(() => {
    let wanted = true;
    const look = async () => {
      try {
        const [from, to] = await Promise.all([read<Schemas>(`schema/${encodeURIComponent(source)}`), read<Schemas>(`schema/${encodeURIComponent(target)}`)]);
        if (wanted) setRows({ source: rowsByTable(from, data.source.shards ?? []), target: rowsByTable(to, data.target.shards ?? []) });
      } catch {
        // The list below still says what is done.
      }
    };
    void look();
    const timer = copying ? setInterval(() => void look(), 3000) : undefined;
    return () => {
      wanted = false;
      clearInterval(timer);
    };
  }, [source, target, copying]);
  const tables = [...new Set(data.streams.flatMap((s) => [...s.tables, ...s.copying.map((c) => c.table)]))].filter((t) => !t.startsWith("/")).sort();
  const perSecond = data.streams.reduce((sum, s) => sum + rate(samples, s), 0);
  const all = tables.reduce((sum, t) => sum + (rows?.source[t] ?? 0), 0);
  const left = Math.max(0, all - data.rows_copied);
  return (
    <section class="card" aria-label="copy progress">
      <h2>Copy</h2>
      <p class="muted">
        {count(data.rows_copied, "row")} copied
        {copying ? `, ${Math.round(perSecond).toLocaleString("en")} rows/s${perSecond > 0 && all > 0 ? `, about ${seconds(left / perSecond)} left` : ""}` : "; no table is being copied"}
      </p>
      <ul class="progress">
        {tables.map((table) => {
          const open = data.streams.filter((s) => s.copying.some((c) => c.table === table));
          const started = open.some((s) => s.copying.some((c) => c.table === table && c.last_pk !== ""));
          const estimate = rows && rows.source[table] ? (100 * (rows.target[table] ?? 0)) / rows.source[table] : 0;
          const value = open.length === 0 ? 100 : started ? Math.min(99, estimate) : 0;
          return (
            <li key={table}>
              <span>{table}</span>
              <Bar value={value} label={`copy of ${table}`} />
              <span class="muted">{open.length === 0 ? "done" : started ? `${Math.round(value)} %` : "waits"}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function LagChart({ samples }: { samples: Sample[] }) {
  if (samples.length < 2) return null;
  const top = Math.max(5, ...samples.map((s) => s.lag));
  const line = samples.map((s, i) => `${((i * 600) / (samplesMax - 1)).toFixed(1)},${(78 - (s.lag * 72) / top).toFixed(1)}`).join(" ");
  return (
    <section class="card" aria-label="lag over time">
      <h2>Lag since this page was opened</h2>
      <svg class="chart" viewBox="0 0 600 80" role="img" aria-label={`lag, at most ${seconds(top)}, now ${seconds(samples.at(-1)?.lag ?? 0)}`}>
        <polyline class="lagline" points={line} />
      </svg>
      <p class="muted">
        now {seconds(samples.at(-1)?.lag ?? 0)}, top of the scale {seconds(top)}
      </p>
    </section>
  );
}

function Report({ diff }: { diff: VDiff | null }) {
  return (
    <section class="card" aria-label="verification">
      <h2>Verification</h2>
      {!diff || !diff.UUID ? (
        <p>The data was not verified.</p>
      ) : (
        <>
          <p>
            {diff.HasMismatch ? <Badge kind="bad">rows differ</Badge> : diff.State === "completed" ? <Badge kind="good">verified</Badge> : <Badge kind="plain">{diff.State}</Badge>}{" "}
            {count(diff.RowsCompared ?? 0, "row")} compared. {diff.CompletedAt ? `Completed ${diff.CompletedAt}` : `Started ${diff.StartedAt ?? ""}`}
            {diff.Progress?.Percentage !== undefined ? `, ${Math.round(diff.Progress.Percentage)} %` : ""}
          </p>
          {Object.entries(diff.Errors ?? {}).map(([shard, why]) => (
            <p key={shard} class="error">
              {shard}: {why}
            </p>
          ))}
          <div class="scroll" tabIndex={0} role="region" aria-label="rows by table">
            <table>
              <thead>
                <tr>
                  {["Table", "State", "Compared", "Matching", "Differ", "Only in source", "Only in target"].map((text) => (
                    <th key={text} scope="col">
                      {text}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {Object.entries(diff.TableSummary ?? {}).map(([table, row]) => (
                  <tr key={table}>
                    <th scope="row">{table}</th>
                    {["State", "RowsCompared", "MatchingRows", "MismatchedRows", "ExtraRowsSource", "ExtraRowsTarget"].map((column) => (
                      <td key={column}>{row[column]}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}
