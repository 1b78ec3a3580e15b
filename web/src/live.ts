// One stream of server-sent events for the whole window: it carries the documents that are shown just now.
import { useEffect, useState } from "preact/hooks";

export interface Live<T> {
  data?: T;
  error?: string;
}

const documents = new Map<string, Live<unknown>>();
const readers = new Map<string, Set<() => void>>();
const connectionReaders = new Set<() => void>();
let stream: EventSource | undefined;
let streamNames = "";
let connected = false;
let planned = false;
let retry: ReturnType<typeof setTimeout> | undefined;

function setConnected(now: boolean) {
  if (connected === now) return;
  connected = now;
  connectionReaders.forEach((reader) => reader());
}

function receive(name: string, text: string) {
  const data = JSON.parse(text) as { error?: string };
  // A failure keeps what was shown before.
  const before = documents.get(name);
  documents.set(name, typeof data.error === "string" ? { data: before?.data, error: data.error } : { data });
  readers.get(name)?.forEach((reader) => reader());
}

function connect() {
  planned = false;
  const names = [...readers.keys()].sort();
  if (names.join() === streamNames && stream && stream.readyState !== EventSource.CLOSED) return;
  stream?.close();
  clearTimeout(retry);
  streamNames = names.join();
  if (names.length === 0) {
    stream = undefined;
    setConnected(true); // A page without documents is as new as it can be.
    return;
  }
  const opened = new EventSource(`api/events?topics=${encodeURIComponent(streamNames)}`);
  stream = opened;
  for (const name of names) {
    opened.addEventListener(name, (event) => receive(name, (event as MessageEvent<string>).data));
  }
  opened.onopen = () => setConnected(true);
  opened.onerror = () => {
    if (stream !== opened) return;
    setConnected(false);
    // The browser tries again by itself, but not after an answer that is no stream (a proxy's error page).
    if (opened.readyState === EventSource.CLOSED) retry = setTimeout(plan, 1000);
  };
}

function plan() {
  if (planned) return;
  planned = true;
  queueMicrotask(connect);
}

// The document of that name, kept up to date.
export function useLive<T>(name: string): Live<T> {
  const [, redraw] = useState(0);
  useEffect(() => {
    const reader = () => redraw((n) => n + 1);
    const all = readers.get(name) ?? new Set();
    all.add(reader);
    readers.set(name, all);
    plan();
    reader();
    return () => {
      all.delete(reader);
      if (all.size === 0) readers.delete(name);
      plan();
    };
  }, [name]);
  return (documents.get(name) ?? {}) as Live<T>;
}

export function useConnected(): boolean {
  const [, redraw] = useState(0);
  useEffect(() => {
    const reader = () => redraw((n) => n + 1);
    connectionReaders.add(reader);
    return () => void connectionReaders.delete(reader);
  }, []);
  return connected;
}
