import { useState } from "preact/hooks";
import type { ShardPage, Tablet } from "../api";
import { shardCommands, tabletCommands } from "../commands";
import { useLive } from "../live";
import { href } from "../router";
import { Badge, CommandButton, Loaded, Page, Paged, seconds } from "../ui";

const pageSize = 50;

export function ShardView({ keyspace, shard }: { keyspace: string; shard: string }) {
  const live = useLive<ShardPage>(`shard/${keyspace}/${shard}`);
  const [filter, setFilter] = useState("");
  const commands = shardCommands(keyspace, shard, live.data?.members ?? [], live.data?.primary ?? "");
  return (
    <Page
      title={`${keyspace}/${shard}`}
      crumbs={[
        ["Dashboard", href("dashboard")],
        [keyspace, href("keyspace", keyspace)],
      ]}
      actions={commands.map((command) => (
        <CommandButton key={command.label} command={command} />
      ))}
    >
      <Loaded live={live}>
        {(data) => (
          <>
            <p>
              {data.serves ? <Badge kind="good">serving</Badge> : <Badge kind="warn">not serving</Badge>}{" "}
              {Object.entries(data.serving_by_cell)
                .map(([cell, types]) => `${cell}: ${types.join(", ").toLowerCase()}`)
                .join("; ")}
              {data.primary ? `. Primary ${data.primary}.` : ". No primary."}{" "}
              <a href={href("topology", "global", "keyspaces", keyspace, "shards", shard, "Shard")}>Record</a>
            </p>
            {data.members.length === 0 && <p>No tablets.</p>}
            {data.members.length > pageSize && (
              <label class="field">
                <span>Show only (alias, host, type)</span>
                <input type="search" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
              </label>
            )}
            <ul class="tablets">
              <Paged items={data.members.filter((t) => `${t.alias} ${t.host} ${t.type}`.toLowerCase().includes(filter.toLowerCase()))} size={pageSize} what="tablets">
                {(tablet) => <TabletRow key={tablet.alias} tablet={tablet} />}
              </Paged>
            </ul>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function state(tablet: Tablet) {
  if (tablet.stopped) return <Badge kind="warn">stopped</Badge>;
  if (!tablet.known) return <Badge kind="plain">asked…</Badge>;
  if (tablet.error) return <Badge kind="bad">not well</Badge>;
  return tablet.serving ? <Badge kind="good">serves</Badge> : <Badge kind="warn">does not serve</Badge>;
}

function TabletRow({ tablet }: { tablet: Tablet }) {
  const [open, setOpen] = useState(false);
  const kind = tablet.type.toLowerCase();
  return (
    <li class="card tablet">
      <div class="facts">
        <strong class={kind === "primary" ? "type primary" : "type"}>{kind}</strong>
        <span class="alias">{tablet.alias}</span>
        <span>cell {tablet.cell}</span>
        <span>
          {tablet.host}{" "}
          {Object.entries(tablet.ports)
            .map(([name, port]) => `${name} ${port}`)
            .join(", ")}
          , mysql {tablet.mysql_port}
        </span>
        <span>{state(tablet)}</span>
        <span>lag {tablet.known && !tablet.error && kind !== "primary" ? seconds(tablet.lag_s) : "–"}</span>
        <span>{tablet.qps.toFixed(1)} queries/s</span>
        <button type="button" class="small" aria-expanded={open} aria-label={`actions of ${tablet.alias}`} onClick={() => setOpen(!open)}>
          Actions
        </button>
      </div>
      {tablet.error && <p class="error">{tablet.error}</p>}
      {open && (
        <div class="buttons">
          {tabletCommands(tablet).map((command) => (
            <CommandButton key={command.label} command={command} small />
          ))}
        </div>
      )}
    </li>
  );
}
