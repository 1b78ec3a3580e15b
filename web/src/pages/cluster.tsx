import type { Cells, Cluster } from "../api";
import { validateAll } from "../commands";
import { useLive } from "../live";
import { Badge, CommandButton, count, Loaded, Page, Problems } from "../ui";

export function CellsPage() {
  const cluster = useLive<Cluster>("cluster");
  const cells = useLive<Cells>("cells");
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
