// What the pages share.
import { type ComponentChildren, createContext } from "preact";
import { useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import { type Access, commandLine, type Outcome, type Problem, runCommand } from "./api";
import type { Live } from "./live";
import { href } from "./router";

export const AccessContext = createContext<Access | undefined>(undefined);

// Something a command line has in place of a constant.
export interface Field {
  name: string;
  label: string;
  value?: string;
  choices?: string[];
  long?: boolean;
  check?: boolean; // "true" or "".
  shown?: (values: Record<string, string>) => boolean; // Whether it belongs to what the other fields say.
}

export interface Command {
  label: string;
  title?: string; // Of the dialog, where that is not the label.
  older?: boolean; // A command line of vtctlclient.
  // What it does, and to which object; `danger`: it cannot be taken back or stops something.
  about: string;
  danger?: boolean;
  disabled?: string; // Why it is not possible now.
  fields?: Field[];
  args: (values: Record<string, string>) => string[];
}

interface Asked {
  command: Command;
  closed?: (done: boolean) => void; // done: it ran without an error.
}
let ask: (asked: Asked) => void = () => {};

// Opens the dialog of a command. It belongs to the window, not to what it was opened from: that may be gone when the
// command has run.
export function openCommand(command: Command, closed?: (done: boolean) => void) {
  ask({ command, closed });
}

export function DialogHost() {
  const [asked, setAsked] = useState<Asked>();
  ask = setAsked;
  if (!asked) return null;
  return (
    <CommandDialog
      command={asked.command}
      close={(done) => {
        setAsked(undefined);
        asked.closed?.(done);
      }}
    />
  );
}

export function CommandButton({ command, small }: { command: Command; small?: boolean }) {
  const kind = (command.danger ? "danger" : "") + (small ? " small" : "");
  return (
    <button type="button" class={kind} disabled={!!command.disabled} title={command.disabled || command.about} onClick={() => openCommand(command)}>
      {command.label}
    </button>
  );
}

function CommandDialog({ command, close }: { command: Command; close: (done: boolean) => void }) {
  const access = useContext(AccessContext);
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const [values, setValues] = useState<Record<string, string>>(() =>
    Object.fromEntries((command.fields ?? []).map((f) => [f.name, f.value ?? f.choices?.[0] ?? ""])),
  );
  const [running, setRunning] = useState(false);
  const [outcome, setOutcome] = useState<Outcome>();
  useEffect(() => dialog.current?.showModal(), []);
  const args = command.args(values);
  const run = async () => {
    setRunning(true);
    setOutcome(undefined);
    setOutcome(await runCommand(args, command.older));
    setRunning(false);
  };
  const blocked = access !== undefined && !access.commands && !access.sign_in;
  return (
    <dialog ref={dialog} aria-labelledby={title} onClose={() => close(outcome !== undefined && outcome.error === "")}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          if (!running && !blocked) void run();
        }}
      >
        <h2 id={title}>{command.title ?? command.label}</h2>
        <p class={command.danger ? "warning" : ""}>{command.about}</p>
        {(command.fields ?? []).filter((field) => field.shown?.(values) ?? true).map((field) => (
          <FieldInput key={field.name} field={field} value={values[field.name] ?? ""} set={(value) => setValues({ ...values, [field.name]: value })} />
        ))}
        <CopyLine args={args} older={command.older} />
        {blocked && <p class="error">{access.why}</p>}
        {outcome && <OutcomeView outcome={outcome} />}
        <div class="actions">
          <button type="button" onClick={() => dialog.current?.close()}>
            {outcome && !outcome.error ? "Close" : "Cancel"}
          </button>
          {!(outcome && !outcome.error) && (
            <button type="submit" class={command.danger ? "danger" : "primary"} disabled={running || blocked}>
              {running ? "Running…" : outcome ? "Try again" : command.label}
            </button>
          )}
        </div>
      </form>
    </dialog>
  );
}

function FieldInput({ field, value, set }: { field: Field; value: string; set: (value: string) => void }) {
  const id = useId();
  if (field.check) {
    return (
      <label class="check" for={id}>
        <input id={id} type="checkbox" checked={value !== ""} onChange={(e) => set(e.currentTarget.checked ? "true" : "")} /> {field.label}
      </label>
    );
  }
  return (
    <div class="field">
      <label for={id}>{field.label}</label>
      {field.choices ? (
        <select id={id} value={value} onChange={(e) => set(e.currentTarget.value)}>
          {field.choices.map((choice) => (
            <option key={choice} value={choice}>
              {choice || "any"}
            </option>
          ))}
        </select>
      ) : field.long ? (
        <textarea id={id} rows={10} spellcheck={false} value={value} onInput={(e) => set(e.currentTarget.value)} />
      ) : (
        <input id={id} type="text" value={value} onInput={(e) => set(e.currentTarget.value)} />
      )}
    </div>
  );
}

export function OutcomeView({ outcome }: { outcome: Outcome }) {
  return (
    <div class="outcome" role={outcome.error ? "alert" : "status"}>
      {outcome.output && (
        <pre tabIndex={0} aria-label="output">
          {outcome.output}
        </pre>
      )}
      {outcome.error ? <pre class="error">{outcome.error}</pre> : !outcome.output && <p class="good">Done.</p>}
    </div>
  );
}

// A command line of vtctldclient (vtctlclient), to copy.
export function CopyLine({ args, older }: { args: string[]; older?: boolean }) {
  const text = commandLine(args, useContext(AccessContext)?.grpc_port, older);
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      setCopied(false); // No clipboard without a secure page: the text can be selected.
    }
  };
  return (
    <div class="copyline">
      <code tabIndex={0} aria-label="the same as a command line">
        {text}
      </code>
      <button type="button" class="small" onClick={() => void copy()}>
        {copied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}

export function Page({ title, crumbs, actions, children }: { title: string; crumbs?: [string, string][]; actions?: ComponentChildren; children: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · Vitrail`;
  }, [title]);
  return (
    <>
      <header class="pagehead">
        <div>
          {crumbs && crumbs.length > 0 && (
            <nav aria-label="where this is" class="crumbs">
              {crumbs.map(([text, link]) => (
                <a key={link} href={link}>
                  {text}
                </a>
              ))}
            </nav>
          )}
          <h1>{title}</h1>
        </div>
        {actions && <div class="buttons">{actions}</div>}
      </header>
      {children}
    </>
  );
}

// A live document, or why there is none.
export function Loaded<T>({ live, children }: { live: Live<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {live.error && (
        <p class="error" role="alert">
          {live.error}
        </p>
      )}
      {live.data ? children(live.data) : !live.error && <p class="muted">Loading…</p>}
    </>
  );
}

export function Badge({ kind, children }: { kind: "good" | "bad" | "warn" | "plain"; children: ComponentChildren }) {
  return <span class={`badge ${kind}`}>{children}</span>;
}

export function Problems({ problems }: { problems: Problem[] }) {
  if (problems.length === 0) return null;
  return (
    <section class="card problems" aria-label="what is not well">
      <h2>Not well ({problems.length})</h2>
      <ul>
        <Paged items={problems} size={20} what="problems">
          {(problem) => (
            <li key={problem.tablet + problem.shard}>
              {problem.shard && <a href={href("shard", ...problem.shard.split("/"))}>{problem.shard}</a>} {problem.tablet} {problem.type}: {problem.why}
            </li>
          )}
        </Paged>
      </ul>
    </section>
  );
}

// `size` items at a time.
export function Paged<T>({ items, size, what, children }: { items: T[]; size: number; what: string; children: (item: T) => ComponentChildren }) {
  const [shown, setShown] = useState(size);
  return (
    <>
      {items.slice(0, shown).map(children)}
      {items.length > shown && (
        <li class="more">
          <button type="button" onClick={() => setShown(shown + size)}>
            {items.length - shown} more {what}
          </button>
        </li>
      )}
    </>
  );
}

export function Bar({ value, label }: { value: number; label: string }) {
  const width = Math.max(0, Math.min(100, value));
  return (
    <svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label={`${label}: ${Math.round(width)} %`}>
      <rect class="barback" width="100" height="6" />
      <rect class="barfront" width={width} height="6" />
    </svg>
  );
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    ++unit;
  }
  return `${n >= 10 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

export function seconds(n: number): string {
  if (n < 90) return `${Math.round(n)} s`;
  if (n < 5400) return `${Math.round(n / 60)} min`;
  return `${(n / 3600).toFixed(1)} h`;
}
