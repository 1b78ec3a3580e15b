import type { TopologyNode } from "../api";
import { useLive } from "../live";
import { href } from "../router";
import { CopyLine, Loaded, Page, Paged } from "../ui";

export function TopologyView({ path }: { path: string }) {
  const live = useLive<TopologyNode>(path ? `topology/${path}` : "topology");
  const parts = path === "" ? [] : path.split("/");
  const crumbs: [string, string][] = [["Topology", href("topology")]];
  parts.slice(0, -1).forEach((part, i) => crumbs.push([part, href("topology", ...parts.slice(0, i + 1))]));
  return (
    <Page title={parts.at(-1) ?? "Topology"} crumbs={parts.length > 0 ? crumbs : []}>
      <Loaded live={live}>
        {(node) => (
          <>
            {node.children.length > 0 && (
              <ul class="rows">
                <Paged items={node.children} size={200} what="entries">
                  {(child) => (
                    <li key={child}>
                      <a href={href("topology", ...parts, child)}>{child}</a>
                    </li>
                  )}
                </Paged>
              </ul>
            )}
            {node.children.length === 0 && parts.length > 0 && !node.data && !node.version && <p class="muted">Nothing here.</p>}
            {(node.data || node.version > 0) && (
              <section class="card" aria-label="Node Data">
                <h2>Node Data</h2>
                <p class="muted">Version {node.version}</p>
                <pre tabIndex={0} aria-label={`record ${path}`}>
                  {node.data}
                </pre>
              </section>
            )}
            <CopyLine args={["GetTopologyPath", `/${path}`]} />
          </>
        )}
      </Loaded>
    </Page>
  );
}
