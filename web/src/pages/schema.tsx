import { useEffect, useState } from "preact/hooks";
import { type Cluster, type KeyspacePage, read, type Schemas, type TableDefinition } from "../api";
import { useLive } from "../live";
import { href } from "../router";
import { bytes, CommandButton, count, Page, Paged } from "../ui";

interface Table {
  definition: TableDefinition;
  size: number;
  rows: number;
  shards: string[];
  differs: string[]; // Shards whose statement is another one.
}

function collect(schemas: Schemas): { tables: Table[]; errors: string[] } {
  const tables = new Map<string, Table>();
  const errors: string[] = [];
  for (const [shard, schema] of Object.entries(schemas).sort()) {
    if (schema.error) errors.push(`${shard}: ${schema.error}`);
    for (const definition of schema.table_definitions ?? []) {
      const table = tables.get(definition.name) ?? { definition, size: 0, rows: 0, shards: [], differs: [] };
      table.size += Number(definition.data_length);
      table.rows += Number(definition.row_count);
      table.shards.push(shard);
      if (definition.schema !== table.definition.schema) table.differs.push(shard);
      tables.set(definition.name, table);
    }
  }
  return { tables: [...tables.values()].sort((a, b) => b.size - a.size || a.definition.name.localeCompare(b.definition.name)), errors };
}

export function SchemaView({ keyspace }: { keyspace: string }) {
  const cluster = useLive<Cluster>("cluster");
  const names = (cluster.data?.keyspaces ?? []).map((k) => k.name);
  if (!keyspace) {
    return (
      <Page title="Schema">
        <ul class="rows">
          {names.map((name) => (
            <li key={name}>
              <a href={href("schema", name)}>{name}</a>
            </li>
          ))}
        </ul>
        {names.length === 0 && <p class="muted">No keyspaces.</p>}
      </Page>
    );
  }
  return <Tables keyspace={keyspace} />;
}

function Tables({ keyspace }: { keyspace: string }) {
  const live = useLive<KeyspacePage>(`keyspace/${keyspace}`);
  const [schemas, setSchemas] = useState<Schemas>();
  const [error, setError] = useState("");
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let wanted = true;
    read<Schemas>(`schema/${encodeURIComponent(keyspace)}`).then(
      (found) => {
        if (!wanted) return;
        setSchemas(found);
        setError("");
      },
      (problem: Error) => wanted && setError(problem.message),
    );
    return () => {
      wanted = false;
    };
  }, [keyspace, turn]);
  const { tables, errors } = collect(schemas ?? {});
  let vschema: { tables?: Record<string, { type?: string; column_vindexes?: { column?: string; columns?: string[]; name?: string }[] }> } = {};
  try {
    vschema = JSON.parse(live.data?.vschema ?? "{}") as typeof vschema;
  } catch {
    // Shown without vindexes.
  }
  return (
    <Page
      title={`Schema of ${keyspace}`}
      crumbs={[
        ["Schema", href("schema")],
        [keyspace, href("keyspace", keyspace)],
      ]}
      actions={
        <>
          <CommandButton
            command={{
              label: "Apply DDL",
              about: `Runs statements on every shard of keyspace ${keyspace}.`,
              danger: true,
              fields: [{ name: "sql", label: "Statements", long: true }],
              args: (v) => ["ApplySchema", "--sql", v.sql ?? "", keyspace],
            }}
          />
          <button type="button" onClick={() => setTurn(turn + 1)}>
            Read again
          </button>
        </>
      }
    >
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {errors.map((text) => (
        <p key={text} class="error">
          {text}
        </p>
      ))}
      {!schemas && !error && <p class="muted">Loading…</p>}
      {schemas && tables.length === 0 && errors.length === 0 && <p>No tables.</p>}
      <ul class="tables">
        <Paged items={tables} size={100} what="tables">
          {(table) => {
            const known = vschema.tables?.[table.definition.name];
            return (
              <li key={table.definition.name} class="card">
                <details>
                  <summary>
                    <strong>{table.definition.name}</strong>{" "}
                    <span class="muted">
                      {bytes(table.size)}, about {count(table.rows, "row")}, {count(table.shards.length, "shard")}
                      {table.definition.type === "VIEW" ? ", view" : ""}
                      {known?.type ? `, ${known.type}` : ""}
                    </span>
                  </summary>
                  {(known?.column_vindexes ?? []).map((vindex, i) => (
                    <p key={i}>
                      {i === 0 ? "Primary vindex" : "Vindex"} {vindex.name} on {vindex.column ?? vindex.columns?.join(", ")}
                    </p>
                  ))}
                  {!known && <p class="muted">Not in the VSchema.</p>}
                  {table.differs.length > 0 && <p class="error">The definition differs in {table.differs.join(", ")}.</p>}
                  <pre tabIndex={0} aria-label={`definition of ${table.definition.name}`}>
                    {table.definition.schema}
                  </pre>
                </details>
              </li>
            );
          }}
        </Paged>
      </ul>
    </Page>
  );
}
