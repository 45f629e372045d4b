// Times small files that a real Chromium sends to a running hauld: dropped on its page, and one request for each.
//
// Usage: node page.mjs PORT WORK COUNT BYTES ROUNDS
// Prints a line of JSON for each round: the seconds of both. The first round is not counted.
import fs from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { createRequire } from 'node:module';

const [port, work, ...numbers] = process.argv.slice(2);
const [count, bytes, rounds] = numbers.map(Number);
const require = createRequire(path.join(process.env.BROWSER_MODULES, 'x.js'));
const { chromium } = require('playwright-core');
const base = `http://127.0.0.1:${port}`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
const context = await browser.newContext({ viewport: { width: 1000, height: 760 } });
context.setDefaultTimeout(120_000);

/// Drops a folder, and waits until the page tells that all of it is there.
async function dropped(round) {
  const folder = path.join(work, `dropped-${round}`);
  fs.mkdirSync(folder);
  for (let i = 0; i < count; i += 1) fs.writeFileSync(path.join(folder, `file-${i}`), Buffer.alloc(bytes, i));
  const page = await context.newPage();
  await page.goto(`${base}/`);
  const session = await context.newCDPSession(page);
  const data = { items: [], files: [folder], dragOperationsMask: 1 };
  const begun = performance.now();
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await session.send('Input.dispatchDragEvent', { type, x: 300, y: 250, data });
    if (type === 'dragOver') await page.waitForFunction(() => document.body.classList.contains('over'));
  }
  await page.locator('#what', { hasText: ' uploaded' }).waitFor();
  const seconds = (performance.now() - begun) / 1000;
  await page.close();
  return seconds;
}

/// The same files from the memory of the page, so many requests at once as Chromium has connections for a server.
async function each(round) {
  const page = await context.newPage();
  await page.goto(`${base}/`);
  const seconds = await page.evaluate(async ([round, count, bytes]) => {
    const begun = performance.now();
    let next = 0;
    const put = async () => {
      while (next < count) {
        const i = next;
        next += 1;
        const body = new Blob([new Uint8Array(bytes).fill(i)]);
        const answer = await fetch(`/each-${round}/file-${i}`, { method: 'PUT', body });
        if (answer.status !== 201) throw new Error(`${answer.status} for ${i}`);
      }
    };
    await Promise.all(Array.from({ length: 6 }, put));
    return (performance.now() - begun) / 1000;
  }, [round, count, bytes]);
  await page.close();
  return seconds;
}

for (let round = 0; round <= rounds; round += 1) {
  // Neither is always the first of a round.
  const figures = {};
  const turns = round % 2 ? [each, dropped] : [dropped, each];
  for (const turn of turns) figures[turn.name] = await turn(round);
  if (round > 0) console.log(JSON.stringify(figures));
}
await browser.close();
