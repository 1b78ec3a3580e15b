// Clicks through vtctld's pages: each page once, and what they can do. tests/e2e/web.py starts the cluster, gives
// {"url", "chromium", "artifacts", "vtctldclient": [argv], "replica"} as argument and does what lines on standard output
// ask for ("restart"), answering each with a line.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createInterface } from "node:readline";
import { Browser, closeDialog, eventually, runDialog } from "./browser.mjs";

const config = JSON.parse(process.argv[2]);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (what) => {
  console.log(what);
  assert.equal((await answers.next()).value, "done");
};
const ctl = (...args) => execFileSync(config.vtctldclient[0], [...config.vtctldclient.slice(1), ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const refused = (...args) => {
  try {
    return `succeeded: ${ctl(...args)}`;
  } catch (failure) {
    return failure.stderr;
  }
};

const browser = await Browser.open(config);
const page = await browser.window();
let failed = 0;
const step = async (name, run) => {
  const start = Date.now();
  try {
    await run();
    console.error(`ok   ${name} (${Date.now() - start} ms)`);
  } catch (failure) {
    ++failed;
    console.error(`FAIL ${name}: ${failure.stack ?? failure}`);
    await page.screenshot({ path: `${config.artifacts}/failed-${failed}.png` }).catch(() => {});
    await page.keyboard.press("Escape").catch(() => {});
  }
};
const button = (name, scope = page) => scope.getByRole("button", { name, exact: true });

await step("dashboard", async () => {
  await browser.go(page, "dashboard");
  const card = page.locator(".keyspace", { hasText: "commerce" });
  await card.getByText("1 Shard (+2 Not serving)").waitFor();
  await card.getByText("1 primary, 1 replica").waitFor();
  await card.getByText("well", { exact: true }).waitFor();
  await browser.inspect(page, "dashboard");
});

await step("a keyspace made by clicking is there for the command line", async () => {
  await button("New keyspace").click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Name").fill("made");
  assert.match(await dialog.locator("code").innerText(), /^vtctldclient --server \S+:\d+ CreateKeyspace --durability-policy none made$/);
  await browser.inspect(page, "dialog");
  assert.match(await runDialog(page), /Successfully created keyspace made/);
  await closeDialog(page);
  assert.match(ctl("GetKeyspace", "made"), /"durability_policy": "none"/);
  await page.locator(".keyspace", { hasText: "made" }).waitFor();
});

await step("an error of a command is shown whole", async () => {
  await button("New keyspace").click();
  const shown = await runDialog(page, { Name: "com.merce" }, { fails: true });
  assert.equal(shown, refused("CreateKeyspace", "com.merce").replace(/^vtctldclient: /, "").trim());
  assert.match(shown, /may not contain a '\.'/);
  await closeDialog(page);
});

await step("Edit, Validate and Delete of a card", async () => {
  const card = page.locator(".keyspace", { hasText: "made" });
  await button("Edit", card).click();
  await runDialog(page, { "Durability policy": "semi_sync" });
  await closeDialog(page);
  await card.getByText("semi_sync").waitFor();
  await button("Validate", card).click();
  assert.match(await runDialog(page, {}, { fails: true }), /no shards in keyspace made/);
  await closeDialog(page);
  await button("Delete", card).click();
  assert.match(await page.locator("dialog[open] .warning").innerText(), /Deletes keyspace made/);
  await runDialog(page);
  await closeDialog(page);
  await card.waitFor({ state: "detached" });
  assert.match(refused("GetKeyspace", "made"), /NOT_FOUND/);
});

await step("two windows show the same within a second", async () => {
  const other = await browser.window();
  await browser.go(other, "dashboard");
  for (const create of [true, false]) {
    if (create) ctl("CreateKeyspace", "both");
    else ctl("DeleteKeyspace", "both");
    const start = Date.now();
    await Promise.all([page, other].map((w) => w.locator(".keyspace", { hasText: "both" }).waitFor({ state: create ? "visible" : "detached" })));
    const took = Date.now() - start;
    console.error(`     both windows after ${took} ms`);
    assert.ok(took < config.seconds * 1000, `it took ${took} ms`);
  }
  await other.close();
});

await step("by keyboard alone", async () => {
  await browser.go(page, "dashboard");
  await page.locator("body").focus();
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());
  for (let i = 0; (await focused()) !== "New keyspace"; ++i) {
    assert.ok(i < 20, "New keyspace is not reached with the tabulator");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  assert.ok(await page.evaluate(() => document.querySelector("dialog").contains(document.activeElement)));
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
});

await step("keyspace", async () => {
  await browser.go(page, "keyspace/commerce");
  await page.getByRole("heading", { name: "Serving Shards (1)" }).waitFor();
  await page.getByRole("heading", { name: "Nonserving Shards (2)" }).waitFor();
  const ring = await page.locator(".ring").getAttribute("aria-label");
  assert.equal(ring, "Key ranges of commerce. Serving: 0. Not serving: -80, 80-.");
  await browser.inspect(page, "keyspace");
});

await step("a wrong VSchema is refused before it is applied", async () => {
  const before = ctl("GetVSchema", "customer");
  await browser.go(page, "keyspace/customer");
  await browser.inspect(page, "keyspace-sharded");
  const editor = page.getByLabel("VSchema of customer");
  await editor.fill('{"sharded": true, "tables": {"customer": {"column_vindexes": [{"column": "id", "name": "nowhere"}]}}}');
  await page.locator(".outcome .error", { hasText: "nowhere" }).waitFor();
  assert.ok(await button("Apply…").isDisabled());
  await browser.inspect(page, "keyspace-wrong-vschema");
  await editor.fill('{"sharded": ');
  await page.locator(".outcome .error", { hasText: "no JSON" }).waitFor();
  const changed = JSON.parse(before);
  changed.tables.added = { column_vindexes: [{ column: "id", name: "hash" }] };
  await editor.fill(JSON.stringify(changed));
  await page.getByText("This VSchema would be accepted.").waitFor();
  assert.equal(ctl("GetVSchema", "customer"), before);
  await button("Apply…").click();
  await runDialog(page);
  await closeDialog(page);
  assert.match(ctl("GetVSchema", "customer"), /"added"/);
});

const tablet = (alias) => page.locator(".tablet", { hasText: alias });

await step("shard", async () => {
  await browser.go(page, "shard/commerce/0");
  await tablet(config.replica).getByText("serves", { exact: true }).waitFor();
  await tablet(config.replica).getByText(/lag \d+ s/).waitFor();
  await button(`actions of ${config.replica}`).click();
  await browser.inspect(page, "shard");
  for (const name of ["Ping", "Refresh state", "Health check", "Stop replication", "Start replication"]) {
    await button(name, tablet(config.replica)).click();
    await runDialog(page);
    await closeDialog(page);
  }
  await button("Set type", tablet(config.replica)).click();
  await runDialog(page, { Type: "rdonly" });
  await closeDialog(page);
  await tablet(config.replica).getByText("rdonly", { exact: true }).waitFor();
  assert.match(ctl("GetTablet", config.replica), /"type": "RDONLY"/);
  await button("Set type", tablet(config.replica)).click();
  await runDialog(page, { Type: "replica" });
  await closeDialog(page);
  await tablet(config.replica).getByText("replica", { exact: true }).waitFor();
});

await step("a primary is moved by clicking, and what it is called is asked before", async () => {
  await button("Planned reparent").click();
  const dialog = page.locator("dialog[open]");
  assert.match(await dialog.locator(".warning").innerText(), /commerce\/0/);
  await dialog.getByLabel("New primary").selectOption(config.replica);
  assert.match(await dialog.locator("code").innerText(), new RegExp(`PlannedReparentShard commerce/0 --new-primary ${config.replica}$`));
  await runDialog(page);
  await closeDialog(page);
  await tablet(config.replica).getByText("primary", { exact: true }).waitFor();
  assert.ok(ctl("GetShard", "commerce/0").includes(`"uid": ${Number(config.replica.split("-")[1])}`));
});

await step("schema", async () => {
  await browser.go(page, "schema");
  await page.getByRole("link", { name: "commerce", exact: true }).last().click();
  await page.locator("summary", { hasText: "customer" }).click();
  await page.getByText("CREATE TABLE `customer`").waitFor();
  await browser.inspect(page, "schema");
});

await step("topology", async () => {
  await browser.go(page, "topology");
  for (const name of ["global", "keyspaces", "commerce", "shards", "0", "Shard"]) {
    await page.locator(".rows").getByRole("link", { name, exact: true }).click();
    await page.locator("h1", { hasText: name }).waitFor();
  }
  await page.getByText("Node Data").waitFor();
  await page.getByText(/^Version \d+$/).waitFor();
  await page.getByText("primary_alias").waitFor();
  await browser.inspect(page, "topology");
});

const vschema = ctl("GetVSchema", "customer");
await step("workflows", async () => {
  await browser.go(page, "workflows");
  await page.getByText("No MoveTables or Reshard workflow.").waitFor();
  await button("New MoveTables").click();
  await runDialog(page, {
    "Name of the workflow": "c2c",
    "Source keyspace": "commerce",
    "Target keyspace": "customer",
    "Tables, separated by commas (none: all)": "customer",
  });
  await closeDialog(page);
  await page.getByRole("link", { name: "customer.c2c" }).waitFor();
  await page.locator(".badge", { hasText: "Running" }).waitFor();
  await browser.inspect(page, "workflows");
});

await step("workflow", async () => {
  await page.getByRole("link", { name: "customer.c2c" }).click();
  await page.getByText("The data was not verified.").waitFor();
  await button("Verify data").click();
  await runDialog(page);
  await closeDialog(page);
  await page.locator(".badge", { hasText: "verified" }).waitFor({ timeout: 30_000 });
  await page.getByText(/2 rows compared/).waitFor();
  await page.locator(".chart").waitFor();
  await browser.inspect(page, "workflow");
  await button("Cancel").click();
  assert.match(await page.locator("dialog[open] .warning").innerText(), /customer\.c2c/);
  await runDialog(page);
  await closeDialog(page);
  await page.getByText("no workflow c2c in keyspace customer").waitFor();
});

// What may be clicked in each state of a sharding workflow.
const possible = {
  running: ["Verify data", "Switch replicas", "Switch primaries", "Cancel"],
  switched_replicas: ["Switch primaries", "Reverse traffic", "Cancel"],
  switched_primaries: ["Reverse traffic", "Cutover"],
  cutover: ["Reverse cutover", "Complete"],
  reversed_cutover: ["Cutover", "Complete"],
  complete: [],
};
const inState = async (state, badge = state) => {
  await page.locator("main .badge", { hasText: new RegExp(`^${badge}$`) }).waitFor({ timeout: 30_000 });
  await page.locator(".node.lit", { hasText: state }).waitFor();
  const actions = page.getByRole("group", { name: "actions" });
  await eventually(`the buttons of ${state}`, 10, async () => {
    const enabled = await actions.locator("button:enabled").allInnerTexts();
    return JSON.stringify(enabled) === JSON.stringify(possible[state]);
  });
  assert.equal(await actions.locator("button").count(), 9);
};
const click = async (label) => {
  await button(label, page.getByRole("group", { name: "actions" })).click();
  const text = await page.locator("dialog[open]").innerText();
  await runDialog(page);
  await closeDialog(page);
  return text;
};

await step("a sharding workflow, from its creation to its end, by clicking", async () => {
  ctl("ApplyRoutingRules", "--rules", '{"rules": [{"from_table": "other", "to_tables": ["commerce.other"]}]}');
  ctl("ApplyVSchema", "--vschema", vschema, "customer"); // Cancel has taken the table out of it.
  const rules = ctl("GetRoutingRules");
  await browser.go(page, "workflows");
  await button("New sharding workflow").click();
  await runDialog(page, {
    "Name of the workflow": "shard",
    "Source keyspace (MoveTables)": "commerce",
    "Target keyspace": "customer",
    "Tables, separated by commas (MoveTables; none: all)": "customer,corder",
  });
  await closeDialog(page);
  await page.getByRole("link", { name: "main/shard" }).click();
  await inState("running", "running: not verified data");
  await click("Verify data");
  await inState("running", "running: verified data");
  await browser.inspect(page, "sharding");
  await browser.picture(page, "workflow-running");
  assert.match(await click("Switch replicas"), /Data: verified data/);
  await inState("switched_replicas");
  await click("Switch primaries");
  await inState("switched_primaries");
  await click("Reverse traffic");
  await inState("running", "running: verified data");
  await click("Switch primaries");
  await inState("switched_primaries");
  await browser.picture(page, "workflow-switched");
  const switched = ctl("GetRoutingRules");
  assert.notEqual(switched, rules);
  await button("Cutover", page.getByRole("group", { name: "actions" })).click();
  await page.locator("dialog[open]").waitFor();
  await browser.picture(page, "workflow-cutover");
  await closeDialog(page);
  assert.match(await click("Cutover"), /dropped[\s\S]*not routed[\s\S]*--yes/);
  await inState("cutover");
  assert.equal(ctl("GetRoutingRules"), rules);
  assert.match(refused("ShardingWorkflow", "cancel", "shard"), /cancel is not possible in the state cutover/);
  await click("Reverse cutover");
  await inState("reversed_cutover");
  const sorted = (text) => JSON.parse(text).rules.map((rule) => JSON.stringify(rule)).sort();
  assert.deepEqual(sorted(ctl("GetRoutingRules")), sorted(switched));
  await click("Cutover");
  await inState("cutover");
  await click("Complete");
  await inState("complete");
  await browser.inspect(page, "sharding-complete");
  assert.equal(ctl("GetRoutingRules"), rules);
  assert.match(ctl("ShardingWorkflow", "list"), /main\/shard: .*: complete/);
});

await step("queries", async () => {
  await browser.go(page, "queries");
  const text = /select .?name.? from commerce\.customer where id = :vtg1/;
  const one = page.locator(".statements > li", { hasText: text });
  await one.getByText(/3 runs, .* in all, .* each, .* the longest, 3 rows/).waitFor();
  await one.locator("summary").click();
  await one.getByText(/Plan: Passthrough in commerce/).waitFor();
  await browser.inspect(page, "queries");
  await page.getByRole("link", { name: "By errors" }).click();
  await page.locator(".statements > li", { hasText: /where .?name.? = :vtg1/ }).getByText("1 error").waitFor();
  assert.ok(!(await page.locator("main").innerText()).includes("secret"));
});

await step("cluster", async () => {
  await browser.go(page, "cluster");
  await page.getByText("zone1").first().waitFor();
  for (const program of ["vtctld", "vtgate"]) {
    await page.getByRole("region", { name: "processes" }).locator("li", { hasText: program }).locator(".badge.good").waitFor();
  }
  await page.getByText(`${config.tablets} × ${config.version}`).waitFor();
  await browser.inspect(page, "cluster");
});

await step("pages go on by themselves after a restart of vtctld", async () => {
  await browser.go(page, "dashboard");
  page.expected.push("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE");
  await ask("restart");
  ctl("CreateKeyspace", "later");
  await page.locator(".keyspace", { hasText: "later" }).waitFor();
  await page.locator(".live.on").waitFor();
  page.expected = [];
});

await step("a shard of 10,000 tablets", async () => {
  const view = await page.evaluate(() => fetch("api/views/shard/commerce/0").then((r) => r.json()));
  const members = Array.from({ length: 10_000 }, (_, i) => ({ ...view.members[0], alias: `zone1-${String(i).padStart(10, "0")}`, uid: i, type: "replica" }));
  const body = `retry: 60000\n\nevent: shard/commerce/0\ndata: ${JSON.stringify({ ...view, members })}\n\n`;
  await page.route("**/api/events**", (route) => route.fulfill({ contentType: "text/event-stream", body }));
  const begun = Date.now();
  await page.goto(`${config.url}/#/shard/commerce/0`);
  await button("9950 more tablets").click();
  await button("9900 more tablets").waitFor();
  assert.equal(await page.locator(".tablet").count(), 100);
  await page.getByLabel("Show only (alias, host, type)").fill("zone1-0000009876");
  await tablet("zone1-0000009876").waitFor();
  assert.equal(await page.locator(".tablet").count(), 1);
  const took = Date.now() - begun;
  assert.ok(took < 5000, `it took ${took} ms`);
  await page.unroute("**/api/events**");
  await page.reload();
});

await step("an unknown page says so", async () => {
  await browser.go(page, "nonsense/1");
  await page.getByRole("heading", { name: "No such page" }).waitFor();
  await browser.go(page, "keyspace/nowhere");
  await page.getByText(/keyspace nowhere/).first().waitFor();
});

await step("no page showed a fault", async () => assert.deepEqual(browser.faults, []));

await eventually("the browser's end", 10, async () => (await browser.close(), true));
process.exit(failed === 0 ? 0 : 1);
