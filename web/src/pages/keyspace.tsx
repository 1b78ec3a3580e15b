import { useEffect, useState } from "preact/hooks";
import { type KeyspacePage, type Outcome, runCommand, type Shard } from "../api";
import { keyspaceCommands } from "../commands";
import { useLive } from "../live";
import { Ring } from "../ring";
import { href } from "../router";
import { Badge, CommandButton, CopyLine, count, Loaded, openCommand, OutcomeView, Page, Paged, Problems } from "../ui";

export function KeyspaceView({ name }: { name: string }) {
  const live = useLive<KeyspacePage>(`keyspace/${name}`);
  const commands = keyspaceCommands(name, live.data?.durability_policy ?? "");
  return (
    <Page
      title={name}
      crumbs={[["Dashboard", href("dashboard")]]}
      actions={Object.values(commands).map((command) => (
        <CommandButton key={command.label} command={command} />
      ))}
    >
      <Loaded live={live}>
        {(keyspace) => {
          const serving = keyspace.shards.filter((s) => s.serves);
          const others = keyspace.shards.filter((s) => !s.serves);
          return (
            <>
              <div class="columns">
                <section class="card ringcard" aria-label="key ranges">
                  <Ring keyspace={name} shards={keyspace.shards} />
                </section>
                <div>
                  <ShardList title="Serving Shards" keyspace={name} shards={serving} />
                  <ShardList title="Nonserving Shards" keyspace={name} shards={others} />
                </div>
              </div>
              <p class="muted">
                {keyspace.type === "SNAPSHOT" ? "Snapshot keyspace. " : ""}Durability policy {keyspace.durability_policy || "none"}. <a href={href("schema", name)}>Tables</a>{" "}
                <a href={href("topology", "global", "keyspaces", name)}>Records</a>
              </p>
              <Problems problems={keyspace.problems} />
              <VSchemaEditor keyspace={name} stored={keyspace.vschema} />
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}

function ShardList({ title, keyspace, shards }: { title: string; keyspace: string; shards: Shard[] }) {
  return (
    <section aria-label={title}>
      <h2>
        {title} ({shards.length})
      </h2>
      <ul class="rows">
        <Paged items={shards} size={50} what="shards">
          {(shard) => (
            <li key={shard.name}>
              <a href={href("shard", keyspace, shard.name)}>{shard.name}</a>
              <span class="muted">
                {Object.entries(shard.tablets)
                  .map(([type, n]) => `${n} ${type.toLowerCase()}`)
                  .join(", ") || "no tablets"}
              </span>
              <span>
                {shard.serving_types.map((type) => (
                  <Badge key={type} kind="good">
                    {type.toLowerCase()}
                  </Badge>
                ))}{" "}
                {shard.unwell > 0 && <Badge kind="bad">{count(shard.unwell, "tablet")} not well</Badge>}
              </span>
            </li>
          )}
        </Paged>
      </ul>
    </section>
  );
}

function VSchemaEditor({ keyspace, stored }: { keyspace: string; stored: string }) {
  const [text, setText] = useState<string>();
  const [checked, setChecked] = useState<Outcome>();
  const shown = text ?? stored;
  const apply = () =>
    openCommand(
      { label: "Apply VSchema", about: `Saves this VSchema of keyspace ${keyspace} and tells every vtgate.`, danger: true, args: () => ["ApplyVSchema", "--vschema", shown, keyspace] },
      (done) => done && setText(undefined),
    );
  // What would be refused is said while it is written.
  useEffect(() => {
    if (text === undefined) return setChecked(undefined);
    let wanted = true;
    const timer = setTimeout(() => {
      try {
        JSON.parse(text);
      } catch (problem) {
        return setChecked({ error: `This is no JSON: ${(problem as Error).message}`, output: "" });
      }
      void runCommand(["ApplyVSchema", "--dry-run", "--vschema", text, keyspace]).then((outcome) => {
        if (wanted) setChecked(outcome);
      });
    }, 400);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [text, keyspace]);
  const warnings = checked?.output
    .split("\n")
    .filter((line) => /^(Warning|Unknown)/.test(line))
    .join("\n");
  return (
    <section class="card" aria-label="VSchema">
      <h2>VSchema</h2>
      <textarea class="code" rows={16} spellcheck={false} aria-label={`VSchema of ${keyspace}`} value={shown} onInput={(e) => setText(e.currentTarget.value)} />
      {checked?.error && <OutcomeView outcome={{ error: checked.error, output: "" }} />}
      {warnings && <p class="warning">{warnings}</p>}
      {text !== undefined && checked && !checked.error && <p class="good">This VSchema would be accepted.</p>}
      {text !== undefined && (
        <div class="actions">
          <button type="button" onClick={() => setText(undefined)}>
            Discard
          </button>
          <button type="button" class="primary" disabled={!checked || !!checked.error} onClick={apply}>
            Apply…
          </button>
        </div>
      )}
      {text === undefined && <CopyLine args={["GetVSchema", keyspace]} />}
    </section>
  );
}
