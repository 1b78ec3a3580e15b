// Every button is one command line of vtctldclient.
import type { ShardingWorkflow, Tablet, Workflow } from "./api";
import type { Command } from "./ui";

const policies = ["none", "semi_sync", "cross_cell"];

export const createKeyspace: Command = {
  label: "New keyspace",
  about: "Makes an empty keyspace. Its shards appear with their first tablets, or with New shard.",
  fields: [
    { name: "name", label: "Name" },
    { name: "policy", label: "Durability policy", choices: policies },
  ],
  args: (v) => ["CreateKeyspace", "--durability-policy", v.policy ?? "none", v.name ?? ""],
};

export const validateAll: Command = {
  label: "Validate all",
  about: "Looks for contradictions in the records of every keyspace.",
  fields: [{ name: "ping", label: "and ask the tablets", check: true }],
  args: (v) => ["Validate", ...(v.ping ? ["--ping-tablets"] : [])],
};

export function keyspaceCommands(name: string, policy: string): Record<"edit" | "validate" | "rebuild" | "shard" | "remove", Command> {
  return {
    edit: {
      label: "Edit",
      about: `Sets the durability policy of keyspace ${name}: whose acknowledgement commits wait for.`,
      fields: [{ name: "policy", label: "Durability policy", choices: policies, value: policy || "none" }],
      args: (v) => ["SetKeyspaceDurabilityPolicy", "--durability-policy", v.policy ?? "none", name],
    },
    validate: {
      label: "Validate",
      about: `Looks for contradictions in the records of keyspace ${name}.`,
      fields: [{ name: "ping", label: "and ask the tablets", check: true }],
      args: (v) => ["ValidateKeyspace", ...(v.ping ? ["--ping-tablets"] : []), name],
    },
    rebuild: {
      label: "Rebuild graph",
      about: `Writes the serving graph of keyspace ${name} anew in every cell.`,
      args: () => ["RebuildKeyspaceGraph", name],
    },
    shard: {
      label: "New shard",
      about: `Makes a shard of keyspace ${name}: a key range such as -80, or a name.`,
      fields: [{ name: "shard", label: "Shard" }],
      args: (v) => ["CreateShard", `${name}/${v.shard ?? ""}`],
    },
    remove: {
      label: "Delete",
      about: `Deletes keyspace ${name}. With its shards and tablets only when asked to; the servers keep their data, but nobody will find it.`,
      danger: true,
      fields: [{ name: "recursive", label: `with the shards and tablets of ${name}`, check: true }],
      args: (v) => ["DeleteKeyspace", ...(v.recursive ? ["--recursive"] : []), name],
    },
  };
}

export function shardCommands(keyspace: string, shard: string, tablets: Tablet[], primary: string): Command[] {
  const name = `${keyspace}/${shard}`;
  const others = tablets.filter((t) => t.alias !== primary && t.type.toUpperCase() === "REPLICA").map((t) => t.alias);
  return [
    {
      label: "Validate",
      about: `Looks for contradictions in the records of shard ${name}.`,
      fields: [{ name: "ping", label: "and ask the tablets", check: true }],
      args: (v) => ["ValidateShard", ...(v.ping ? ["--ping-tablets"] : []), name],
    },
    {
      label: "Positions",
      about: `Asks every tablet of ${name} how far it is.`,
      args: () => ["ShardReplicationPositions", name],
    },
    {
      label: "Reload schema",
      about: `Lets the tablets of ${name} read their schema again.`,
      args: () => ["ReloadSchemaShard", "--include-primary", name],
    },
    {
      label: "Planned reparent",
      about: `Moves the role of primary of ${name} to another tablet. Writes wait for a moment; nothing is lost.`,
      danger: true,
      fields: [{ name: "to", label: "New primary", choices: ["", ...others] }],
      args: (v) => ["PlannedReparentShard", name, ...(v.to ? ["--new-primary", v.to] : [])],
    },
    {
      label: "Emergency reparent",
      about: `Makes the replica of ${name} that has most the primary, because the old one (${primary || "none"}) is dead. Writes that no replica has are lost.`,
      danger: true,
      fields: [{ name: "to", label: "New primary", choices: ["", ...others] }],
      args: (v) => ["EmergencyReparentShard", name, ...(v.to ? ["--new-primary", v.to] : [])],
    },
    {
      label: "Delete shard",
      about: `Deletes the record of shard ${name}.`,
      danger: true,
      fields: [
        { name: "recursive", label: `with the tablets of ${name}`, check: true },
        { name: "serving", label: "even if it serves", check: true },
      ],
      args: (v) => ["DeleteShards", ...(v.recursive ? ["--recursive"] : []), ...(v.serving ? ["--even-if-serving"] : []), name],
    },
  ];
}

export function tabletCommands(tablet: Tablet): Command[] {
  const { alias } = tablet;
  const primary = tablet.type.toUpperCase() === "PRIMARY";
  return [
    { label: "Ping", about: `Asks tablet ${alias} for a sign of life.`, args: () => ["PingTablet", alias] },
    { label: "Refresh state", about: `Lets tablet ${alias} read its record again.`, args: () => ["RefreshState", alias] },
    { label: "Health check", about: `Lets tablet ${alias} look at its server now.`, args: () => ["RunHealthCheck", alias] },
    { label: "Full status", about: `Everything tablet ${alias} says of its server.`, args: () => ["GetFullStatus", alias] },
    {
      label: "Start replication",
      about: `Starts replication on tablet ${alias}.`,
      disabled: primary ? "a primary does not replicate" : undefined,
      args: () => ["StartReplication", alias],
    },
    {
      label: "Stop replication",
      about: `Stops replication on tablet ${alias}: it falls behind until it is started again.`,
      danger: true,
      disabled: primary ? "a primary does not replicate" : undefined,
      args: () => ["StopReplication", alias],
    },
    {
      label: "Set writable",
      about: `Makes the server of tablet ${alias} writable or read-only.${primary ? " It is the primary: read-only stops all writes to its shard." : ""}`,
      danger: true,
      fields: [{ name: "to", label: "Writable", choices: ["true", "false"] }],
      args: (v) => ["SetWritable", alias, v.to ?? "true"],
    },
    {
      label: "Set type",
      about: `Changes the type of tablet ${alias} (now ${tablet.type}).`,
      disabled: primary ? "a primary changes by a reparent" : undefined,
      fields: [{ name: "type", label: "Type", choices: ["replica", "rdonly", "spare", "drained"] }],
      args: (v) => ["ChangeTabletType", alias, v.type ?? "replica"],
    },
    {
      label: "Delete tablet",
      about: `Deletes the record of tablet ${alias}${primary ? ", the primary of its shard" : ""}. A tablet that still runs makes it again when it starts.`,
      danger: true,
      fields: primary ? [{ name: "primary", label: `${alias} is the primary: delete it all the same`, check: true }] : [],
      args: (v) => ["DeleteTablets", ...(v.primary ? ["--allow-primary"] : []), alias],
    },
  ];
}

// MoveTables and Reshard have the same actions.
export function workflowCommands(workflow: Workflow): Command[] {
  const kind = workflow.type.toLowerCase() === "reshard" ? "Reshard" : "MoveTables";
  const base = ["--workflow", workflow.name, "--target-keyspace", workflow.keyspace];
  const name = `${workflow.keyspace}.${workflow.name}`;
  const timeout = { name: "timeout", label: "Longest time that writes may be stopped", value: "30s" };
  return [
    { label: "Verify data", about: `Compares the rows of both sides of ${name} (VDiff).`, args: () => ["VDiff", ...base, "create"] },
    { label: "Stop", about: `Stops the streams of ${name}.`, args: () => [kind, ...base, "Stop"] },
    { label: "Start", about: `Starts the stopped streams of ${name}.`, args: () => [kind, ...base, "Start"] },
    {
      label: "Switch replicas",
      about: `Sends replica and rdonly reads to the target of ${name}.`,
      args: () => [kind, ...base, "SwitchTraffic", "--tablet-types", "replica,rdonly"],
    },
    {
      label: "Switch primaries",
      about: `Sends all traffic to the target of ${name}: writes are stopped for a moment.`,
      danger: true,
      fields: [timeout],
      args: (v) => [kind, ...base, "SwitchTraffic", "--timeout", v.timeout ?? "30s"],
    },
    {
      label: "Reverse traffic",
      about: `Sends all traffic of ${name} back to the source.`,
      danger: true,
      fields: [timeout],
      args: (v) => [kind, ...base, "ReverseTraffic", "--timeout", v.timeout ?? "30s"],
    },
    {
      label: "Complete",
      about: `Ends ${name}: the source's ${kind === "Reshard" ? "shards" : "tables"} are removed, and there is no way back.`,
      danger: true,
      fields: [
        { name: "data", label: "keep the source's data", check: true },
        { name: "rules", label: "keep the routing rules", check: true },
      ],
      args: (v) => [kind, ...base, "Complete", ...(v.data ? ["--keep-data"] : []), ...(v.rules ? ["--keep-routing-rules"] : [])],
    },
    {
      label: "Cancel",
      about: `Gives ${name} up: the copies on the target are removed.`,
      danger: true,
      fields: [{ name: "data", label: "keep the copies", check: true }],
      args: (v) => [kind, ...base, "Cancel", ...(v.data ? ["--keep-data"] : [])],
    },
  ];
}

// The actions of a sharding workflow, in the order of its life.
export const shardingActions: [action: string, label: string, about: string, danger: boolean][] = [
  ["verify", "Verify data", "Compares every row of both sides", false],
  ["switch-replicas", "Switch replicas", "Sends replica reads to the target", false],
  ["switch-primaries", "Switch primaries", "Sends all traffic to the target", true],
  ["reverse-traffic", "Reverse traffic", "Sends all traffic back to the source", true],
  ["cutover", "Cutover", "Ends the workflow below and resets the routing rules", true],
  ["reverse-cutover", "Reverse cutover", "Puts the routing rules of the switch back", false],
  ["complete", "Complete", "Says that no way back is needed, and makes room for another workflow", false],
  ["cancel", "Cancel", "Gives the workflow up", true],
  ["retry", "Retry", "Goes on with the step that failed", false],
];

export function shardingCommands(view: ShardingWorkflow): Command[] {
  const { branch, name } = view.record;
  return shardingActions.map(([action, label, about, danger]) => {
    const warning = view.warnings?.[action] ?? "";
    const data = view.substate && action.startsWith("switch-") ? ` Data: ${view.substate}.` : "";
    return {
      label,
      about: `${about}: ${branch}/${name}. ${warning}${data}`.trim(),
      danger,
      disabled: view.possible?.includes(action) ? undefined : view.under_way ? `${view.under_way} is under way` : `not possible in the state ${view.state}`,
      args: () => ["ShardingWorkflow", "--branch", branch, action, ...(action === "cutover" ? ["--yes"] : []), name],
    };
  });
}

export const createShardingWorkflow: Command = {
  label: "New sharding workflow",
  about: "Begins to copy tables to another keyspace, or rows to other shards. A branch has one active workflow.",
  fields: [
    { name: "name", label: "Name of the workflow" },
    { name: "branch", label: "Branch", value: "main" },
    { name: "kind", label: "Kind", choices: ["MoveTables", "Reshard"] },
    { name: "source", label: "Source keyspace (MoveTables)" },
    { name: "target", label: "Target keyspace" },
    { name: "tables", label: "Tables, separated by commas (MoveTables; none: all)" },
    { name: "from", label: "Source shards (Reshard)" },
    { name: "to", label: "Target shards (Reshard)" },
  ],
  args: (v) => [
    ...["ShardingWorkflow", "--branch", v.branch || "main", "create", "--kind", v.kind ?? "MoveTables"],
    ...(v.source ? ["--source-keyspace", v.source] : []),
    ...["--target-keyspace", v.target ?? ""],
    ...(v.tables ? ["--tables", v.tables] : []),
    ...(v.from ? ["--source-shards", v.from] : []),
    ...(v.to ? ["--target-shards", v.to] : []),
    v.name ?? "",
  ],
};

export const createMoveTables: Command = {
  label: "New MoveTables",
  about: "Starts to copy tables to another keyspace. Traffic stays where it is until it is switched.",
  fields: [
    { name: "workflow", label: "Name of the workflow" },
    { name: "source", label: "Source keyspace" },
    { name: "target", label: "Target keyspace" },
    { name: "tables", label: "Tables, separated by commas (none: all)" },
  ],
  args: (v) => [
    ...["MoveTables", "--workflow", v.workflow ?? "", "--target-keyspace", v.target ?? ""],
    ...["Create", "--source-keyspace", v.source ?? "", ...(v.tables ? ["--tables", v.tables] : ["--all-tables"])],
  ],
};

export const createReshard: Command = {
  label: "New Reshard",
  about: "Starts to copy the rows of some shards into others. Traffic stays where it is until it is switched.",
  fields: [
    { name: "workflow", label: "Name of the workflow" },
    { name: "target", label: "Keyspace" },
    { name: "from", label: "Source shards, separated by commas" },
    { name: "to", label: "Target shards, separated by commas" },
  ],
  args: (v) => [
    ...["Reshard", "--workflow", v.workflow ?? "", "--target-keyspace", v.target ?? ""],
    ...["Create", "--source-shards", v.from ?? "", "--target-shards", v.to ?? ""],
  ],
};

// What people choose from, and what the command line says.
const factories: [label: string, name: string][] = [
  ["Horizontal Resharding", "horizontal_resharding"],
  ["Sleep", "sleep"],
  ["Topo Validator", "topo_validator"],
];
const resharding = (v: Record<string, string>) => v.factory === "Horizontal Resharding";

export function createManaged(known: string[]): Command {
  return {
    label: "Create",
    title: "Create a new Workflow",
    older: true,
    about: "A workflow of the workflow manager: phases of tasks that are carried out one after the other.",
    fields: [
      { name: "skip", label: "Skip Start", check: true },
      { name: "factory", label: "Factory Name", choices: factories.filter(([, name]) => known.includes(name)).map(([label]) => label) },
      { name: "keyspace", label: "Keyspace", shown: resharding },
      { name: "vtworkers", label: "vtworker Addresses", shown: resharding },
      { name: "approvals", label: "enable_approvals", check: true, value: "true", shown: resharding },
      { name: "duration", label: "Duration in seconds", value: "30", shown: (v) => v.factory === "Sleep" },
    ],
    args: (v) => [
      ...["WorkflowCreate", `-skip_start=${v.skip ? "true" : "false"}`, factories.find(([label]) => label === v.factory)?.[1] ?? ""],
      ...(resharding(v) ? [`-keyspace=${v.keyspace ?? ""}`, `-vtworkers=${v.vtworkers ?? ""}`, `-enable_approvals=${v.approvals ? "true" : "false"}`] : []),
      ...(v.factory === "Sleep" ? [`-duration=${v.duration ?? ""}`] : []),
    ],
  };
}

// A button of a node.
export function managedAction(path: string, name: string, danger: boolean): Command {
  return {
    label: name,
    older: true,
    danger,
    about: name === "Delete" ? `Deletes the record of workflow ${path.slice(1)}.` : `Ends workflow ${path.slice(1)}; what is under way is given up. Start goes on with it.`,
    args: () => ["WorkflowAction", path, name],
  };
}
