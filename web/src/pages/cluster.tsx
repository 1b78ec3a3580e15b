import type { Cells, Cluster, Processes } from "../api";
import { validateAll } from "../commands";
import { useLive } from "../live";
import { href } from "../router";
import { Badge, CommandButton, count, Loaded, Page, Paged, Problems } from "../ui";

export function CellsPage() {
  const cluster = useLive<Cluster>("cluster");
  const cells = useLive<Cells>("cells");
  const processes = useLive<Processes>("processes");
  return (
    <Page
      title="Cluster"
      actions={
        <>
          <CommandButton command={validateAll} />
          <CommandButton
            command={{
              label: "Add cell",
              about: "Tells the topology of a cell and where its own store is.",
              fields: [
                { name: "name", label: "Name" },
                { name: "address", label: "Address of its store" },
                { name: "root", label: "Root path in it" },
              ],
              args: (v) => ["AddCellInfo", "--server-address", v.address ?? "", "--root", v.root ?? "", v.name ?? ""],
            }}
          />
        </>
      }
    >
      <Loaded live={cluster}>
        {(data) => (
          <>
            <p>
              vtctld {data.version} in cell {data.cell || "(none)"}; {count(data.tablets, "tablet")} in {count(data.keyspaces.length, "keyspace")}.{" "}
              {data.problems.length === 0 ? <Badge kind="good">all is well</Badge> : <Badge kind="bad">{count(data.problems.length, "problem")}</Badge>}
            </p>
            <Problems problems={data.problems} />
          </>
        )}
      </Loaded>
      <Loaded live={processes}>{(data) => <Versions data={data} />}</Loaded>
      <Loaded live={cells}>
        {(data) => (
          <section class="card" aria-label="cells">
            <h2>Cells</h2>
            <ul class="rows">
              {data.cells.map((cell) => (
                <li key={cell.name}>
                  <strong>{cell.name}</strong>
                  <span class="muted">
                    {cell.error ?? `${cell.server_address ?? "no address of its own"} ${cell.root ?? ""}`}
                    {Object.entries(data.aliases)
                      .filter(([, members]) => members.includes(cell.name))
                      .map(([alias]) => `, alias ${alias}`)
                      .join("")}
                  </span>
                  <CommandButton
                    small
                    command={{
                      label: "Delete cell",
                      about: `Takes cell ${cell.name} out of the topology. Refused while something refers to it.`,
                      danger: true,
                      args: () => ["DeleteCellInfo", cell.name],
                    }}
                  />
                </li>
              ))}
            </ul>
            {data.cells.length === 0 && <p>No cells: Add cell tells the topology of one.</p>}
          </section>
        )}
      </Loaded>
    </Page>
  );
}

function Versions({ data }: { data: Processes }) {
  const version = (text: string) => <Badge kind={text === data.own_version ? "good" : "warn"}>{text}</Badge>;
  return (
    <section class="card" aria-label="processes">
      <h2>Processes</h2>
      <ul class="rows">
        <Paged items={data.processes} size={50} what="processes">
          {(process) => (
            <li key={`${process.program} ${process.host}:${process.port}`}>
              <strong>{process.program}</strong>
              <span>
                <a href={`${process.tls ? "https" : "http"}://${process.host}:${process.port}/debug/status`}>
                  {process.host}:{process.port}
                </a>
                {process.cell && `, cell ${process.cell}`}
              </span>
              <span>
                {version(process.version)} <span class="muted">since {new Date(process.started_ms).toISOString().slice(0, 19)}Z</span>
              </span>
            </li>
          )}
        </Paged>
        <li>
          <strong>vttablet</strong>
          <span>{count(data.total, "tablet")}</span>
          <span>
            {Object.entries(data.tablets).map(([text, n]) => (
              <span key={text}>
                {n} × {version(text)}{" "}
              </span>
            ))}
            {data.asked < data.total && <span class="muted">{data.total - data.asked} are still asked…</span>}
          </span>
        </li>
      </ul>
      {data.other_tablets.length > 0 && (
        <>
          <h3>Tablets of another version, or of none that they tell</h3>
          <ul class="rows">
            <Paged items={data.other_tablets} size={20} what="tablets">
              {(tablet) => (
                <li key={tablet.tablet}>
                  <a href={href("shard", ...tablet.shard.split("/"))}>{tablet.tablet}</a>
                  <span>{tablet.shard}</span>
                  {tablet.error ? <span class="error">{tablet.error}</span> : version(tablet.version)}
                </li>
              )}
            </Paged>
          </ul>
        </>
      )}
    </section>
  );
}
