// A browser of the test: pages that are watched for errors of the console, requests that leave this machine and what axe
// finds, and pictures of them.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export class Browser {
  // Faults that the pages showed by themselves.
  faults = [];

  static async open(config) {
    const self = new Browser();
    self.config = config;
    self.folder = mkdtempSync(join(tmpdir(), "vitrail-browser-"));
    self.context = await chromium.launchPersistentContext(self.folder, {
      executablePath: config.chromium,
      headless: true,
      args: flags,
      viewport: { width: 1280, height: 900 },
      colorScheme: "light",
      reducedMotion: "reduce",
    });
    // axe is put into the page from outside: the page's own policy allows no such script.
    await self.context.addInitScript(axe);
    return self;
  }

  async window() {
    const page = await this.context.newPage();
    page.setDefaultTimeout(10_000);
    page.expected = []; // Faults that a step provokes: texts of them.
    const fault = (text) => {
      if (!page.expected.some((known) => text.includes(known))) this.faults.push(`${page.url()}: ${text}`);
    };
    page.on("console", (message) => message.type() === "error" && fault(`console: ${message.text()}`));
    page.on("pageerror", (error) => fault(`error: ${error.stack ?? error}`));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(this.config.url) && !url.startsWith("data:")) fault(`request to another place: ${url}`);
    });
    return page;
  }

  async go(page, path) {
    await page.goto(`${this.config.url}/#/${path}`);
    await page.locator("main h1").waitFor();
    await page.locator(".live.on").waitFor();
    await page.waitForFunction(() => !document.querySelector("main")?.textContent?.includes("Loading…"));
  }

  // A picture in each size and scheme, and what axe finds there.
  async inspect(page, name) {
    for (const [kind, width, colorScheme] of [
      ["", 1280, "light"],
      ["-dark", 1280, "dark"],
      ["-narrow", 400, "light"],
    ]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: join(this.config.artifacts, `${name}${kind}.png`), fullPage: true });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name} at ${width} pixels is ${wide} pixels too wide`);
      const found = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
      const serious = found.violations.filter((v) => ["serious", "critical"].includes(v.impact));
      assert.deepEqual(
        serious.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(" | ")}`),
        [],
        `${name}${kind}: faults of accessibility`,
      );
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  }

  // A picture for the documentation: `./dev pictures` puts it there.
  async picture(page, name) {
    await page.screenshot({ path: join(this.config.artifacts, `docs-${name}.png`), clip: { x: 0, y: 0, width: 1280, height: 560 } });
  }

  async close() {
    await this.context.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// Fills in the open dialog, runs its command and waits for its end, which is an error only where one is expected. Returns
// what the dialog shows.
export async function runDialog(page, fields = {}, { fails = false } = {}) {
  const dialog = page.locator("dialog[open]");
  await dialog.waitFor();
  for (const [label, value] of Object.entries(fields)) {
    const field = dialog.getByLabel(label, { exact: true });
    const kind = await field.evaluate((e) => (e.tagName === "SELECT" ? "select" : e.type));
    if (kind === "select") await field.selectOption(value);
    else if (kind === "checkbox") await field.setChecked(value);
    else await field.fill(value);
  }
  await dialog.locator("button[type=submit]").click();
  const outcome = dialog.locator(".outcome");
  await outcome.waitFor({ timeout: 60_000 });
  const text = (await outcome.innerText()).trim();
  assert.equal(await outcome.getAttribute("role"), fails ? "alert" : "status", text);
  return text;
}

export async function closeDialog(page) {
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
}

export async function eventually(what, seconds, check) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await check()) return;
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
