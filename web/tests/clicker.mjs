// Clicks in the tab of the workflow manager what lines on standard input ask for, one JSON array each, and answers each
// with a line of JSON: ["create", keyspace, vtworkers], ["press", path, button, what it shows then, or ""]. Configuration: as for
// manager.mjs.
import { createInterface } from "node:readline";
import { Browser, closeDialog, runDialog } from "./browser.mjs";

const config = JSON.parse(process.argv[2]);
const browser = await Browser.open(config);
const page = await browser.window();
page.setDefaultTimeout(60_000);
page.expected = ["Failed to load resource", "net::ERR_"]; // vtctld is killed under it.
await browser.go(page, "workflows");
const bar = (path) => page.locator(`li[data-path="${path}"] > .node-bar > .node-name`);

async function open(path) {
  await bar(path).waitFor();
  if ((await bar(path).getAttribute("aria-expanded")) !== "true") await bar(path).click();
}

const work = {
  async create(keyspace, vtworkers) {
    await page.getByRole("button", { name: "+", exact: true }).click();
    const said = await runDialog(page, { "Factory Name": "Horizontal Resharding", Keyspace: keyspace, "vtworker Addresses": vtworkers });
    await closeDialog(page);
    await page.getByText(`Horizontal resharding on keyspace ${keyspace}`).waitFor();
    return said.match(/uuid: (\S+)/)[1];
  },
  async press(path, button, shows) {
    const parts = path.split("/");
    for (let n = 2; n <= parts.length; ++n) await open(parts.slice(0, n).join("/"));
    const node = page.locator(`li[data-path="${path}"]`);
    const pressed = node.getByRole("button", { name: button, exact: true });
    await pressed.click();
    await pressed.waitFor({ state: "hidden" });
    if (shows) await node.getByRole("button", { name: shows, exact: true }).first().waitFor();
    return "pressed";
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...rest] = JSON.parse(line);
  try {
    console.log(JSON.stringify({ done: await work[what](...rest) }));
  } catch (failure) {
    await page.screenshot({ path: `${config.artifacts}/failed-clicker.png` }).catch(() => {});
    console.log(JSON.stringify({ failed: String(failure.stack ?? failure) }));
  }
}
await browser.close();
for (const fault of browser.faults) console.error(`fault: ${fault}`);
process.exit(browser.faults.length > 0 ? 1 : 0);
