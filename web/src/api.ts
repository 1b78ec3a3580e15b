// What vtctld's API gives: docs/operators/http.md lists it.

export interface Problem {
  tablet: string;
  shard: string;
  type: string;
  why: string;
}

export interface Shard {
  name: string;
  start: string; // Hexadecimal; "" is the range's end.
  end: string;
  primary: string;
  is_primary_serving: boolean;
  serves: boolean; // Primaries of this shard are in the serving graph.
  serving_types: string[];
  serving_by_cell: Record<string, string[]>;
  tablets: Record<string, number>;
  unwell: number;
}

export interface Keyspace {
  name: string;
  type: string;
  durability_policy: string;
  sidecar_db_name: string;
  shards: Shard[];
}

export interface Cluster {
  version: string;
  cell: string;
  cells: string[];
  tablets: number;
  keyspaces: Keyspace[];
  problems: Problem[];
}

export interface KeyspacePage extends Keyspace {
  record: unknown;
  vschema: string;
  problems: Problem[];
}

export interface Tablet {
  alias: string;
  cell: string;
  uid: number;
  type: string;
  host: string;
  mysql_port: number;
  ports: Record<string, number>;
  stopped: boolean;
  known: boolean;
  serving: boolean;
  error: string;
  lag_s: number;
  qps: number;
}

export interface ShardPage extends Shard {
  keyspace: string;
  record: unknown;
  members: Tablet[];
}

export interface Stream {
  id: number;
  source: string;
  target: string;
  tablet: string;
  state: string;
  message: string;
  position: string;
  rows_copied: number;
  transaction_timestamp: number;
  copying: { table: string; last_pk: string }[];
  tables: string[];
}

export interface Workflow {
  keyspace: string;
  name: string;
  type: string;
  sub_type: string;
  state: string;
  source: { keyspace?: string; shards?: string[] };
  target: { keyspace?: string; shards?: string[] };
  lag_s: number;
  rows_copied: number;
  streams: Stream[];
}

export interface VDiff {
  State?: string;
  UUID?: string;
  RowsCompared?: number;
  HasMismatch?: boolean;
  StartedAt?: string;
  CompletedAt?: string;
  Progress?: { Percentage?: number };
  TableSummary?: Record<string, Record<string, string | number>>;
  Errors?: Record<string, string>;
}

export interface WorkflowPage extends Workflow {
  traffic: string;
  vdiff: VDiff | null;
}

export interface Workflows {
  workflows: Workflow[];
  errors: { keyspace: string; why: string }[];
}

export interface ShardingRecord {
  branch: string;
  name: string;
  kind: string;
  source_keyspace?: string;
  target_keyspace?: string;
  source_shards?: string[];
  target_shards?: string[];
  tables?: string[];
  verification?: { ended_ms: string; agrees?: boolean; summary?: string };
  log?: { at_ms: string; who?: string; what?: string }[];
}
export interface ShardingWorkflow {
  record: ShardingRecord;
  state: string;
  substate?: string;
  possible?: string[];
  under_way?: string;
  error?: string;
  tables?: { name: string; copy: string }[];
  lag_seconds?: string;
  rows_copied?: string;
  traffic?: string;
  engine_error?: string;
  warnings?: Record<string, string>;
}

// A node of the workflow manager's trees.
export interface ManagerAction {
  name: string;
  state: number; // 1: it can be pressed.
  style: number;
  message?: string;
}
export interface ManagerNode {
  name: string;
  pathName: string;
  path: string;
  state: number; // 0: not started, 1: running, 2: done.
  failed?: boolean;
  message?: string;
  log?: string;
  progress?: number;
  progressMsg?: string;
  actions?: ManagerAction[];
  children?: ManagerNode[];
}
export interface ManagerPage {
  enabled: boolean;
  leader: string;
  leads: boolean;
  factories: string[];
  nodes: ManagerNode[];
}

export interface Cells {
  cells: { name: string; server_address?: string; root?: string; error?: string }[];
  aliases: Record<string, string[]>;
}

export interface Process {
  program: string;
  host: string;
  port: number;
  tls: boolean;
  version: string;
  cell: string;
  started_ms: number;
}

export interface Processes {
  processes: Process[];
  own_version: string;
  tablets: Record<string, number>; // By version.
  other_tablets: { tablet: string; shard: string; version: string; error: string }[];
  asked: number;
  total: number;
}

export interface StatementUse {
  query: string;
  target: string;
  plan: string;
  keyspace: string; // Of the newest plan.
  vindex: string;
  sent: string;
  count: number;
  errors: number;
  rows: number;
  time_ns: number;
  longest_ns: number;
  gates: string[];
}

export interface Queries {
  statements: StatementUse[];
  gates: { name: string; error: string }[];
}

export interface Access {
  commands: boolean;
  sign_in: boolean;
  why: string;
  grpc_port: number;
}

export interface TableDefinition {
  name: string;
  schema: string;
  columns: string[];
  primary_key_columns: string[];
  type: string;
  data_length: string | number;
  row_count: string | number;
}
export type Schemas = Record<string, { error?: string; table_definitions?: TableDefinition[] }>;

export interface TopologyNode {
  path: string;
  data: string;
  version: number;
  children: string[];
}

async function answer(response: Response): Promise<string> {
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim() || `${response.status} ${response.statusText}`);
  return text;
}

export async function read<T>(path: string): Promise<T> {
  return JSON.parse(await answer(await fetch(`api/${path}`, { cache: "no-store" }))) as T;
}

export interface Outcome {
  error: string;
  output: string;
}

// Runs a command line of vtctldclient, or of vtctlclient, in vtctld.
export async function runCommand(args: string[], older = false): Promise<Outcome> {
  try {
    const response = await fetch(older ? "api/vtctl" : "api/run", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(args),
    });
    const done = JSON.parse(await answer(response)) as { Error: string; Output: string };
    return { error: done.Error, output: done.Output };
  } catch (problem) {
    return { error: problem instanceof Error ? problem.message : String(problem), output: "" };
  }
}

// As a shell takes it.
export function quoted(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

export function commandLine(args: string[], grpcPort: number | undefined, older = false): string {
  const server = `${location.hostname || "localhost"}:${grpcPort ?? 15999}`;
  return [older ? "vtctlclient" : "vtctldclient", "--server", server, ...args].map(quoted).join(" ");
}
