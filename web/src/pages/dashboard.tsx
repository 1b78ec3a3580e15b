import { useState } from "preact/hooks";
import type { Cluster, Keyspace } from "../api";
import { createKeyspace, keyspaceCommands, validateAll } from "../commands";
import { useLive } from "../live";
import { Ring } from "../ring";
import { href } from "../router";
import { Badge, CommandButton, count, Loaded, Page, Paged, Problems } from "../ui";

export function Dashboard() {
  const live = useLive<Cluster>("cluster");
  const [filter, setFilter] = useState("");
  return (
    <Page
      title="Dashboard"
      actions={
        <>
          <CommandButton command={createKeyspace} />
          <CommandButton command={validateAll} />
        </>
      }
    >
      <Loaded live={live}>
        {(cluster) => {
          const keyspaces = cluster.keyspaces.filter((k) => k.name.includes(filter));
          return (
            <>
              <p class="muted">
                {count(cluster.keyspaces.length, "keyspace")}, {count(cluster.tablets, "tablet")}, {count(cluster.cells.length, "cell")} ({cluster.cells.join(", ") || "none"}), version{" "}
                {cluster.version}
              </p>
              {cluster.keyspaces.length > 6 && (
                <label class="field">
                  <span>Show only</span>
                  <input type="search" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
                </label>
              )}
              {cluster.keyspaces.length === 0 && <p>No keyspace yet: New keyspace makes one.</p>}
              <ul class="cards">
                <Paged items={keyspaces} size={60} what="keyspaces">
                  {(keyspace) => <KeyspaceCard key={keyspace.name} keyspace={keyspace} />}
                </Paged>
              </ul>
              <Problems problems={cluster.problems} />
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}

export function shardCounts(keyspace: Keyspace): string {
  const serving = keyspace.shards.filter((s) => s.serves).length;
  const others = keyspace.shards.length - serving;
  return `${count(serving, "Shard")}${others > 0 ? ` (+${others} Not serving)` : ""}`;
}

function KeyspaceCard({ keyspace }: { keyspace: Keyspace }) {
  const commands = keyspaceCommands(keyspace.name, keyspace.durability_policy);
  const types: Record<string, number> = {};
  let unwell = 0;
  for (const shard of keyspace.shards) {
    unwell += shard.unwell;
    for (const [type, n] of Object.entries(shard.tablets)) types[type] = (types[type] ?? 0) + n;
  }
  return (
    <li class="card keyspace">
      <Ring keyspace={keyspace.name} shards={keyspace.shards} small />
      <div>
        <h2>
          <a href={href("keyspace", keyspace.name)}>{keyspace.name}</a>
        </h2>
        <p>
          {shardCounts(keyspace)} {unwell > 0 ? <Badge kind="bad">{count(unwell, "tablet")} not well</Badge> : keyspace.shards.length > 0 && <Badge kind="good">well</Badge>}
        </p>
        <p class="muted">
          {Object.entries(types)
            .map(([type, n]) => `${n} ${type.toLowerCase()}`)
            .join(", ") || "no tablets"}
          {keyspace.durability_policy && keyspace.durability_policy !== "none" ? `; ${keyspace.durability_policy}` : ""}
        </p>
        <div class="buttons">
          <CommandButton command={commands.edit} small />
          <CommandButton command={commands.validate} small />
          <CommandButton command={commands.remove} small />
        </div>
      </div>
    </li>
  );
}
