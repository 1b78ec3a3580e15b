// Clicks through the page of the workflow manager. tests/e2e/workflow_manager.py starts vtctld, and gives {"url",
// "chromium", "artifacts", "vtctlclient": [argv]} as argument; the keyspace "lonely" there has shards without tablets.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Browser, closeDialog, runDialog } from "./browser.mjs";

const config = JSON.parse(process.argv[2]);
const ctl = (...args) => execFileSync(config.vtctlclient[0], [...config.vtctlclient.slice(1), ...args], { encoding: "utf8" });
const browser = await Browser.open(config);
const page = await browser.window();
let failed = 0;
const step = async (name, run) => {
  try {
    await run();
    console.error(`ok   ${name}`);
  } catch (failure) {
    ++failed;
    console.error(`FAIL ${name}: ${failure.stack ?? failure}`);
    await page.screenshot({ path: `${config.artifacts}/failed-manager-${failed}.png` }).catch(() => {});
    await page.keyboard.press("Escape").catch(() => {});
  }
};
const button = (name, scope = page) => scope.getByRole("button", { name, exact: true });
const node = (path) => page.locator(`li[data-path="${path}"]`);
const name = (path) => node(path).locator("> .node-bar > .node-name");
const newest = async () => (await page.locator(".tree > li").first().getAttribute("data-path")).slice(1);

await step("S2-13 to S2-20: the dialog of the + makes a node", async () => {
  await browser.go(page, "dashboard");
  await page.locator("nav.menu").getByText("Workflows").click();
  await button("+").click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByRole("heading", { name: "Create a new Workflow" }).waitFor();
  await dialog.getByLabel("Factory Name").selectOption("Horizontal Resharding");
  assert.equal(await dialog.getByLabel("enable_approvals").isChecked(), true);
  assert.equal(await dialog.getByLabel("Skip Start").isChecked(), false);
  await browser.inspect(page, "manager-dialog");
  assert.match(await runDialog(page, {}, { fails: true }), /keyspace name and vtworkers information must be provided/);
  const said = await runDialog(page, { "Skip Start": true, Keyspace: "lonely", "vtworker Addresses": "localhost:1" });
  assert.match(said, /uuid: [0-9a-f-]{36}/);
  await closeDialog(page);
  await page.getByText("Horizontal resharding on keyspace lonely").waitFor();
});

let uuid;
await step("S2-22, S2-26, S2-27: Start, seven phases, and their tasks", async () => {
  uuid = await newest();
  await node(`/${uuid}`).getByText("Not started", { exact: true }).first().waitFor();
  await name(`/${uuid}`).click();
  const phases = ["copy_schema", "clone", "wait_for_filtered_replication", "diff", "migrate_rdonly", "migrate_replica", "migrate_master"];
  const shown = await node(`/${uuid}`).locator("> ul > li").evaluateAll((all) => all.map((one) => one.dataset.path));
  assert.deepEqual(shown, phases.map((phase) => `/${uuid}/${phase}`));
  await name(`/${uuid}/copy_schema`).click();
  await node(`/${uuid}/copy_schema`).getByText("Shard -80").waitFor();
  await node(`/${uuid}/copy_schema`).getByText("Shard 80-").waitFor();
  await button("Start", node(`/${uuid}`)).click();
  await node(`/${uuid}`).getByText("Waits for approval").first().waitFor();
});

await step("S2-31 to S2-36: approvals", async () => {
  const phase = node(`/${uuid}/copy_schema`);
  assert.equal(await button("Approve remaining shards", phase).isDisabled(), true);
  await browser.inspect(page, "manager");
  await button("Approve first shard", phase).click();
  await phase.getByText("First shard approved").waitFor();
  // It fails: the shards have no tablets. The button is there still, with what was done.
  await node(`/${uuid}/copy_schema/-80`).getByText("Failed", { exact: true }).waitFor();
  assert.equal(await button("Approve remaining shards", phase).isEnabled(), true);
});

await step("S2-40, S2-42: Retry, as often as one likes", async () => {
  const task = node(`/${uuid}/copy_schema/-80`);
  for (let i = 2; i <= 4; ++i) {
    await button("Retry", task).click();
    await page.waitForFunction(([path, n]) => fetch("api/views/manager").then((r) => r.json()).then((view) => {
      const walk = (all) => all.flatMap((one) => [one, ...walk(one.children ?? [])]);
      const root = view.nodes.find((one) => path.startsWith(one.path));
      return walk(view.nodes).find((one) => one.path === path).failed && root.log.split("copy_schema/-80: failed").length > n;
    }), [`/${uuid}/copy_schema/-80`, i]);
  }
});

await step("S2-24: what the command line makes appears without a reload", async () => {
  const made = ctl("WorkflowCreate", "sleep", "-duration=600").match(/uuid: (\S+)/)[1];
  await node(`/${made}`).getByText("Sleep 600 seconds").waitFor();
  await button("Stop", node(`/${made}`)).click();
  await runDialog(page);
  await closeDialog(page);
  await node(`/${made}`).getByText("Stopped", { exact: true }).waitFor();
  await button("Delete", node(`/${made}`)).click();
  await runDialog(page);
  await closeDialog(page);
  await node(`/${made}`).waitFor({ state: "detached" });
});

await step("S2-50: a stopped one can be deleted", async () => {
  await button("Stop", node(`/${uuid}`)).click();
  await runDialog(page);
  await closeDialog(page);
  await button("Delete", node(`/${uuid}`)).click();
  await runDialog(page);
  await closeDialog(page);
  await node(`/${uuid}`).waitFor({ state: "detached" });
  await browser.inspect(page, "manager-empty");
});

await browser.close();
for (const fault of browser.faults) console.error(`fault: ${fault}`);
process.exit(failed + browser.faults.length > 0 ? 1 : 0);
