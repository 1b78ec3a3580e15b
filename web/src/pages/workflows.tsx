import type { ShardingWorkflow, Workflow, Workflows } from "../api";
import { createMoveTables, createReshard, createShardingWorkflow } from "../commands";
import { useLive } from "../live";
import { href } from "../router";
import { Badge, CommandButton, count, Loaded, Page, Paged, seconds } from "../ui";
import { NewWorkflow, Tabs } from "./manager";
import { shardingState } from "./sharding";

export function stateKind(state: string): "good" | "bad" | "warn" | "plain" {
  if (state === "Error") return "bad";
  if (state === "Running") return "good";
  return state === "Stopped" || state === "Frozen" ? "warn" : "plain";
}

export function places(place: Workflow["source"]): string {
  return (place.shards ?? []).map((shard) => `${place.keyspace ?? ""}/${shard}`).join(", ");
}

export function WorkflowList() {
  const live = useLive<Workflows>("workflows");
  const sharding = useLive<{ workflows: ShardingWorkflow[] }>("sharding");
  return (
    <Page
      title="Workflows"
      actions={
        <>
          <CommandButton command={createShardingWorkflow} />
          <CommandButton command={createMoveTables} />
          <CommandButton command={createReshard} />
          <NewWorkflow />
        </>
      }
    >
      <Tabs here="movement" />
      <Loaded live={sharding}>
        {(data) => (
          <section aria-label="sharding workflows">
            <h2>Sharding workflows</h2>
            {data.workflows.length === 0 && <p>No sharding workflow.</p>}
            <ul class="rows">
              <Paged items={data.workflows} size={50} what="workflows">
                {(view) => (
                  <li key={`${view.record.branch}/${view.record.name}`}>
                    <a href={href("sharding", view.record.branch, view.record.name)}>
                      {view.record.branch}/{view.record.name}
                    </a>
                    <span>
                      {view.record.kind} {shardingState(view)}
                    </span>
                    <span class="muted">
                      {view.record.source_keyspace} to {view.record.target_keyspace}
                    </span>
                    {view.error && <span class="error">{view.error}</span>}
                  </li>
                )}
              </Paged>
            </ul>
          </section>
        )}
      </Loaded>
      <h2>MoveTables and Reshard</h2>
      <Loaded live={live}>
        {(data) => (
          <>
            {data.errors.map((error) => (
              <p key={error.keyspace} class="error">
                {error.keyspace}: {error.why}
              </p>
            ))}
            {data.workflows.length === 0 && <p>No MoveTables or Reshard workflow.</p>}
            <ul class="rows">
              <Paged items={data.workflows} size={50} what="workflows">
                {(workflow) => (
                  <li key={`${workflow.keyspace}/${workflow.name}`}>
                    <a href={href("workflow", workflow.keyspace, workflow.name)}>
                      {workflow.keyspace}.{workflow.name}
                    </a>
                    <span>
                      {workflow.type} <Badge kind={stateKind(workflow.state)}>{workflow.state}</Badge>
                    </span>
                    <span class="muted">
                      {places(workflow.source)} to {places(workflow.target)}; {count(workflow.rows_copied, "row")} copied, lag {seconds(workflow.lag_s)}
                    </span>
                  </li>
                )}
              </Paged>
            </ul>
          </>
        )}
      </Loaded>
    </Page>
  );
}
