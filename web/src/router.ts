import { useEffect, useState } from "preact/hooks";

// "#/shard/customer/-80" -> ["shard", "customer", "-80"]
function parts(): string[] {
  return location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
}

export function useRoute(): string[] {
  const [route, setRoute] = useState(parts);
  useEffect(() => {
    const changed = () => setRoute(parts());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

export function href(...path: string[]): string {
  return "#/" + path.map(encodeURIComponent).join("/");
}
