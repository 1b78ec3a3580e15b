// Shards as arcs of the ring of keyspace ids: those that serve outside, the others inside.
import type { Shard } from "./api";

// 16 hexadecimal digits count: finer ranges would not be seen.
function position(hex: string, atEnd: boolean): number {
  if (hex === "") return atEnd ? 1 : 0;
  return parseInt(hex.slice(0, 12).padEnd(12, "0"), 16) / 2 ** 48;
}

function point(radius: number, at: number): string {
  const angle = 2 * Math.PI * at - Math.PI / 2;
  return `${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
}

function arc(radius: number, from: number, to: number): string {
  if (to - from > 0.9999) return `${arc(radius, from, from + 0.5)} ${arc(radius, from + 0.5, from + 0.9999)}`;
  return `M ${point(radius, from)} A ${radius} ${radius} 0 ${to - from > 0.5 ? 1 : 0} 1 ${point(radius, to)}`;
}

export function Ring({ keyspace, shards, small }: { keyspace: string; shards: Shard[]; small?: boolean }) {
  const serving = shards.filter((s) => s.serves);
  const waiting = shards.filter((s) => !s.serves);
  const label = `Key ranges of ${keyspace}. Serving: ${serving.map((s) => s.name).join(", ") || "none"}. Not serving: ${waiting.map((s) => s.name).join(", ") || "none"}.`;
  const part = (shard: Shard, radius: number, kind: string, index: number) => {
    const from = position(shard.start, false);
    const to = position(shard.end, true);
    const gap = Math.min(0.004, (to - from) / 8);
    const middle = (from + to) / 2;
    const [x, y] = point(radius, middle).split(" ");
    return (
      <g key={shard.name}>
        <title>{shard.name}</title>
        <path class={`arc ${kind} tone${index % 2}${shard.unwell > 0 ? " unwell" : ""}`} d={arc(radius, from + gap, to - gap)} />
        {!small && to - from >= 1 / 32 && (
          <text x={x} y={y} class="arcname">
            {shard.name}
          </text>
        )}
      </g>
    );
  };
  return (
    <svg class={small ? "ring small" : "ring"} viewBox="-100 -100 200 200" role="img" aria-label={label}>
      <circle r="84" class="track" />
      {waiting.length > 0 && <circle r="56" class="track" />}
      {serving.map((shard, index) => part(shard, 84, "serving", index))}
      {waiting.map((shard, index) => part(shard, 56, "waiting", index))}
    </svg>
  );
}
