import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type Access, read } from "./api";
import { useConnected } from "./live";
import { CellsPage } from "./pages/cluster";
import { Dashboard } from "./pages/dashboard";
import { KeyspaceView } from "./pages/keyspace";
import { ManagerView } from "./pages/manager";
import { QueriesView } from "./pages/queries";
import { SchemaView } from "./pages/schema";
import { ShardView } from "./pages/shard";
import { ShardingView } from "./pages/sharding";
import { TopologyView } from "./pages/topology";
import { WorkflowView } from "./pages/workflow";
import { WorkflowList } from "./pages/workflows";
import { href, useRoute } from "./router";
import "./style.css";
import { AccessContext, DialogHost, Page } from "./ui";

const menu: [string, string][] = [
  ["dashboard", "Dashboard"],
  ["schema", "Schema"],
  ["topology", "Topology"],
  ["workflows", "Workflows"],
  ["queries", "Queries"],
  ["cluster", "Cluster"],
];
const parents: Record<string, string> = { keyspace: "dashboard", shard: "dashboard", workflow: "workflows", sharding: "workflows" };

function View({ route }: { route: string[] }) {
  const [kind = "dashboard", first = "", ...rest] = route;
  const second = rest.join("/");
  if (kind === "dashboard") return <Dashboard />;
  if (kind === "keyspace" && first) return <KeyspaceView key={first} name={first} />;
  if (kind === "shard" && second) return <ShardView key={`${first}/${second}`} keyspace={first} shard={second} />;
  if (kind === "schema") return <SchemaView key={first} keyspace={first} />;
  if (kind === "topology") return <TopologyView path={route.slice(1).join("/")} />;
  if (kind === "workflows" && first === "manager") return <ManagerView />;
  if (kind === "workflows") return <WorkflowList />;
  if (kind === "workflow" && second) return <WorkflowView key={`${first}/${second}`} keyspace={first} name={second} />;
  if (kind === "sharding" && second) return <ShardingView key={`${first}/${second}`} branch={first} name={second} />;
  if (kind === "queries") return <QueriesView key={first} order={first || "time"} />;
  if (kind === "cluster") return <CellsPage />;
  return (
    <Page title="No such page">
      <p>
        <a href={href("dashboard")}>To the dashboard</a>
      </p>
    </Page>
  );
}

function App() {
  const route = useRoute();
  const connected = useConnected();
  const [access, setAccess] = useState<Access>();
  useEffect(() => {
    read<Access>("access").then(setAccess, () => {});
  }, [connected]);
  const here = route[0] ?? "dashboard";
  const current = parents[here] ?? here;
  return (
    <AccessContext.Provider value={access}>
      <a class="skip" href="#content" onClick={(e) => (e.preventDefault(), document.getElementById("content")?.focus())}>
        To the content
      </a>
      <nav class="menu" aria-label="pages">
        <a class="brand" href={href("dashboard")}>
          <img src="./icon.svg" alt="" width="22" height="22" /> Vitrail
        </a>
        {menu.map(([name, text]) => (
          <a key={name} href={href(name)} aria-current={name === current ? "page" : undefined}>
            {text}
          </a>
        ))}
        <span class={connected ? "live on" : "live"} role="status">
          {connected ? "live" : "connecting…"}
        </span>
      </nav>
      <main id="content" tabIndex={-1}>
        {access && !access.commands && <p class="notice">{access.sign_in ? "Commands ask for a user name and a password." : `Read only: ${access.why}`}</p>}
        <View route={route} />
        <DialogHost />
      </main>
    </AccessContext.Provider>
  );
}

render(<App />, document.getElementById("app")!);
