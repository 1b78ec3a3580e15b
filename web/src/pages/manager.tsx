// Workflows of the workflow manager: a tree of phases and tasks, with their buttons.
import { useState } from "preact/hooks";
import { type ManagerAction, type ManagerNode, type ManagerPage, commandLine, type Outcome, runCommand } from "../api";
import { createManaged, managedAction } from "../commands";
import { useLive } from "../live";
import { href } from "../router";
import { Badge, Bar, Loaded, openCommand, OutcomeView, Page } from "../ui";

export function Tabs({ here }: { here: "movement" | "manager" }) {
  const live = useLive<ManagerPage>("manager");
  if (live.data && !live.data.enabled) return null;
  const tab = (name: string, text: string, link: string) => (
    <a href={link} aria-current={here === name ? "page" : undefined}>
      {text}
    </a>
  );
  return (
    <nav class="tabs" aria-label="kinds of workflows">
      {tab("movement", "Sharding, MoveTables, Reshard", href("workflows"))}
      {tab("manager", "Workflow manager", href("workflows", "manager"))}
    </nav>
  );
}

export function NewWorkflow() {
  const live = useLive<ManagerPage>("manager");
  if (!live.data?.enabled) return null;
  const { factories } = live.data;
  const open = () =>
    openCommand(createManaged(factories), (done) => {
      if (done) location.hash = href("workflows", "manager");
    });
  return (
    <button type="button" class="primary plus" title="Create a new Workflow" onClick={open}>
      +
    </button>
  );
}

export function ManagerView() {
  const live = useLive<ManagerPage>("manager");
  return (
    <Page title="Workflows" actions={<NewWorkflow />}>
      <Tabs here="manager" />
      <Loaded live={live}>
        {(data) => (
          <>
            <p class="muted">{data.leader ? `Workflows are run by vtctld ${data.leader}${data.leads ? ", this one" : ""}.` : "No vtctld has been elected to run workflows yet."}</p>
            {data.nodes.length === 0 && <p>No workflow. The + makes one.</p>}
            <ul class="tree" aria-label="workflows">
              {data.nodes.map((node) => (
                <NodeView key={node.path} node={node} />
              ))}
            </ul>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function stateBadge(node: ManagerNode) {
  if (node.failed) return <Badge kind="bad">{node.state === 2 ? "Stopped" : "Failed"}</Badge>;
  if (waits(node)) return <Badge kind="warn">Waits for approval</Badge>;
  return node.state === 2 ? <Badge kind="good">Done</Badge> : <Badge kind="plain">{node.state === 1 ? "Running" : "Not started"}</Badge>;
}

// Whether somebody has to press a button of it or below it before it goes on.
function waits(node: ManagerNode): boolean {
  return (node.actions ?? []).some((action) => action.state === 1 && action.name.startsWith("Approve")) || (node.children ?? []).some(waits);
}

function NodeView({ node }: { node: ManagerNode }) {
  const [open, setOpen] = useState(false);
  const children = node.children ?? [];
  const depth = node.path.split("/").length - 2;
  return (
    <li data-path={node.path}>
      <div class="node-bar">
        <button type="button" class="node-name" aria-expanded={open} onClick={() => setOpen(!open)}>
          {node.name}
        </button>
        {stateBadge(node)}
        {children.length > 0 && (
          <span class="muted">
            {node.progressMsg} <Bar value={node.progress ?? 0} label={`progress of ${node.name}`} />
          </span>
        )}
        {node.message && <span class={node.failed ? "error" : "muted"}>{node.message}</span>}
        {depth === 0 && <Actions node={node} />}
      </div>
      {depth > 0 && (open || node.failed) && <Actions node={node} />}
      {open && (
        <>
          {depth === 0 && <code class="muted">{node.path.slice(1)}</code>}
          {children.length > 0 && (
            <ul>
              {children.map((child) => (
                <NodeView key={child.path} node={child} />
              ))}
            </ul>
          )}
          {node.log && (
            <pre tabIndex={0} aria-label={`log of ${node.name}`}>
              {node.log}
            </pre>
          )}
        </>
      )}
    </li>
  );
}

const styleWarning = 2;

function Actions({ node }: { node: ManagerNode }) {
  const [outcome, setOutcome] = useState<Outcome>();
  const actions = node.actions ?? [];
  if (actions.length === 0) return null;
  const press = async (action: ManagerAction) => {
    const warning = action.style === styleWarning;
    if (warning) return openCommand(managedAction(node.path, action.name, true));
    const done = await runCommand(["WorkflowAction", node.path, action.name], true);
    setOutcome(done.error ? done : undefined);
  };
  return (
    <div class="buttons" role="group" aria-label={`actions of ${node.name}`}>
      {actions.map((action) => (
        <button
          key={action.name}
          type="button"
          class={action.style === styleWarning ? "danger small" : "small"}
          disabled={action.state !== 1}
          title={commandLine(["WorkflowAction", node.path, action.name], undefined, true)}
          onClick={() => void press(action)}
        >
          {action.message || action.name}
        </button>
      ))}
      {outcome && <OutcomeView outcome={outcome} />}
    </div>
  );
}
