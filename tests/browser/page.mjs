// Drives a real Chromium through the page of a running hauld.
//
// Usage: node page.mjs HOST PORT ROOT WORK SCREENSHOTS [SCENARIO...]
// HOST is a name that leads to 127.0.0.1 in this browser only, so that the page is no secure context, as in most LANs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { logins, troubles } from './troubles.mjs';

const [host, port, root, work, screenshots, ...wanted] = process.argv.slice(2);
const require = createRequire(path.join(process.env.BROWSER_MODULES ?? process.cwd(), 'x.js'));
const { chromium } = require('playwright-core');
const base = `http://${host}:${port}`;
const DEADLINE = 120_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', `--host-resolver-rules=MAP ${host} 127.0.0.1`],
});

/// A page that fails the scenario if its console tells of an error, or if it asks another server for anything.
async function open(address, options = {}, expected = []) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 }, ...options });
  context.setDefaultTimeout(DEADLINE);
  const page = await context.newPage();
  const faults = [];
  const isExpected = text => expected.some(known => text.includes(known));
  page.on('console', message => {
    if (message.type() === 'error' && !isExpected(message.text())) faults.push(message.text());
  });
  page.on('pageerror', error => faults.push(String(error)));
  page.on('request', request => {
    if (!request.url().startsWith(base) && !request.url().startsWith('data:')) faults.push(`asks for ${request.url()}`);
  });
  const answer = await page.goto(address);
  return { page, context, answer, async end() { assert.deepEqual(faults, []); await context.close(); } };
}

const shot = (page, name) => page.screenshot({ path: path.join(screenshots, `${name}.png`) });
const at = (...names) => path.join(root, ...names);

/// The files and directories of a tree, with their bytes.
function tree(top) {
  const all = {};
  const walk = above => {
    for (const entry of fs.readdirSync(path.join(top, above), { withFileTypes: true })) {
      const name = path.join(above, entry.name);
      if (entry.isDirectory()) { all[`${name}/`] = ''; walk(name); } else all[name] = fs.readFileSync(path.join(top, name)).toString('base64');
    }
  };
  walk('.');
  return all;
}

function folder(name, entries) {
  const top = path.join(work, name);
  fs.mkdirSync(top, { recursive: true });
  for (const [file, bytes] of Object.entries(entries)) {
    const target = path.join(top, file);
    if (file.endsWith('/')) { fs.mkdirSync(target, { recursive: true }); continue; }
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.writeFileSync(target, bytes);
  }
  return top;
}

async function dropOn(page, files) {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await session.send('Input.dispatchDragEvent', { type, x: 300, y: 250, data });
    if (type === 'dragOver') await page.waitForFunction(() => document.body.classList.contains('over'));
  }
}

const uploaded = (page, text) => page.locator('#what', { hasText: text }).waitFor();
const bytesOf = (count, seed) => Buffer.from(Array.from({ length: count }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 255));
/// Has the network of a page take so many bytes a second; returns the switch of that network.
const slow = async (page, bytesPerSecond) => {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  const set = offline => session.send('Network.emulateNetworkConditions', { offline, latency: 5, downloadThroughput: -1, uploadThroughput: bytesPerSecond });
  await set(false);
  return set;
};

const scenarios = {
  async folder_of_250_entries_arrives_byte_for_byte() {
    const entries = { 'empty/': '', 'deep/empty too/': '', 'ünï <b>x': 'with markup in its name', 'deep/ünï <b>y/ä': 'x', 'zero': '' };
    for (let i = 0; Object.keys(entries).length < 244; i += 1) entries[`${i < 150 ? 'more than are told at once' : `part ${i % 7}`}/file ${i}.bin`] = bytesOf(i * 97, i);
    const top = folder('drop me', entries);
    const all = tree(top);
    assert.ok(Object.keys(all).length >= 250, `${Object.keys(all).length}`);
    const { page, end } = await open(`${base}/`);
    assert.equal(await page.evaluate(() => isSecureContext), false);
    const asked = [];
    page.on('request', request => { if (request.method() !== 'GET') asked.push(new URL(request.url()).pathname); });
    await dropOn(page, [top]);
    await uploaded(page, ' uploaded');
    // Many in one request, and none alone.
    assert.ok(asked.length <= 20 && asked.every(one => one === '/.haul/many'), `${asked}`);
    await page.locator('#list a', { hasText: 'drop me/' }).waitFor();
    await shot(page, 'dropped');
    assert.deepEqual(tree(at('drop me')), all);
    const mtime = file => Math.floor(fs.statSync(file).mtimeMs / 1000);
    assert.equal(mtime(at('drop me', 'zero')), mtime(path.join(top, 'zero')));
    // Names are text, and all of it can be browsed and fetched.
    await page.locator('#list a', { hasText: 'drop me/' }).click();
    await page.locator('#list a', { hasText: 'ünï <b>x' }).waitFor();
    assert.equal(await page.locator('#list b').count(), 0);
    await shot(page, 'directory');
    const answer = await page.request.get(`http://127.0.0.1:${port}/drop%20me/%C3%BCn%C3%AF%20%3Cb%3Ex`);
    assert.equal(await answer.text(), 'with markup in its name');
    // Dropped again, nothing is asked and nothing changes: all of it is there.
    await page.goto(`${base}/`);
    await dropOn(page, [top]);
    await uploaded(page, ' uploaded');
    assert.equal(await page.locator('#conflict[open]').count(), 0);
    assert.deepEqual(tree(at('drop me')), all);
    await end();
  },

  async progress_is_what_the_server_has_and_pause_stops_it() {
    const { page, end } = await open(`${base}/`);
    const entries = {};
    for (let i = 0; i < 24; i += 1) entries[`picture ${String(i).padStart(2, '0')}.jpg`] = bytesOf(1 << 20, i);
    const top = folder('slow', entries);
    await slow(page, 4 << 20);
    await dropOn(page, [top]);
    const value = () => page.locator('#all').evaluate(all => all.value / all.max);
    await page.waitForFunction(() => { const all = document.querySelector('#all'); return all.value / all.max > 0.2; });
    await page.waitForFunction(() => /about .+ left/.test(document.querySelector('#left').textContent));
    // No more counts than is there.
    const there = () => fs.existsSync(at('slow')) ? fs.readdirSync(at('slow')).length : 0;
    const told = await page.locator('#what').textContent();
    assert.ok(Number(/Uploading (\d+)/.exec(told)[1]) <= there(), told);
    await shot(page, 'progress');
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText(/^Paused at/).waitFor();
    const before = await value();
    const count = there();
    // Nothing comes while it is paused: a request of another page is answered meanwhile.
    for (let i = 0; i < 5; i += 1) assert.equal((await page.request.get(`http://127.0.0.1:${port}/?json`)).status(), 200);
    await page.waitForTimeout(600);
    assert.ok(before < 0.95 && await value() === before, `${before}`);
    assert.ok(there() - count <= 8, 'only requests that were on their way may still count');
    await shot(page, 'paused');
    await page.getByRole('button', { name: 'Resume' }).click();
    await uploaded(page, '24 files uploaded');
    assert.deepEqual(tree(at('slow')), tree(top));
    await end();
  },

  async lost_network_is_told_and_the_upload_goes_on() {
    const { page, end } = await open(`${base}/`, {}, ['net::ERR_INTERNET_DISCONNECTED', 'net::ERR_FAILED']);
    const entries = {};
    for (let i = 0; i < 12; i += 1) entries[`lost ${i}`] = bytesOf(1 << 20, i + 50);
    const top = folder('lost', entries);
    const setOffline = await slow(page, 3 << 20);
    await dropOn(page, [top]);
    await page.waitForFunction(() => document.querySelector('#all').value > 2 << 20);
    await setOffline(true);
    await page.getByText('The connection is lost').first().waitFor();
    await shot(page, 'lost');
    await setOffline(false);
    await uploaded(page, '12 files uploaded');
    assert.deepEqual(tree(at('lost')), tree(top));
    await end();
  },

  async conflict_is_asked_once_and_the_choice_holds() {
    const first = folder('first/conflict', { a: 'old a', 'b.txt': 'old b', c: 'same' });
    const { page, end } = await open(`${base}/`);
    await dropOn(page, [first]);
    await uploaded(page, '3 files uploaded');
    const again = folder('second/conflict', { a: 'newer a', 'b.txt': 'newer b' });
    for (const [choice, b] of [['Skip', 'old b'], ['Keep both', 'old b'], ['Replace', 'newer b']]) {
      await dropOn(page, [again]);
      const button = page.getByRole('dialog').getByRole('button', { name: choice });
      await button.waitFor();
      if (choice === 'Skip') await shot(page, 'conflict');
      await button.focus();
      await page.keyboard.press('Enter');
      await uploaded(page, choice === 'Skip' ? '2 skipped' : '2 files uploaded');
      assert.equal(fs.readFileSync(at('conflict', 'b.txt'), 'utf8'), b, choice);
    }
    assert.equal(fs.readFileSync(at('conflict', 'b (2).txt'), 'utf8'), 'newer b');
    assert.deepEqual(fs.readdirSync(at('conflict')).sort(), ['a', 'a (2)', 'b (2).txt', 'b.txt', 'c']);
    // Escape is no choice: nothing is replaced, also after a dialog in which something was.
    const third = folder('third/conflict', { a: 'third a', 'b.txt': 'third b' });
    await dropOn(page, [third]);
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await uploaded(page, '2 skipped');
    assert.equal(await page.getByRole('dialog').count(), 0);
    assert.equal(fs.readFileSync(at('conflict', 'b.txt'), 'utf8'), 'newer b');
    await end();
  },

  async large_file_arrives() {
    // A server without resumable uploads says so.
    const { page, end } = await open(`${base}/`, {}, ['404 (Not Found)']);
    const bytes = bytesOf(20 << 20, 7);
    const top = folder('large', { 'large.bin': bytes });
    await page.locator('#files').setInputFiles(path.join(top, 'large.bin'));
    await uploaded(page, '1 file uploaded');
    assert.ok(fs.readFileSync(at('large.bin')).equals(bytes));
    await end();
  },

  async large_file_that_is_dropped_again_after_a_reload_goes_on() {
    const { page, end } = await open(`${base}/`);
    page.on('dialog', dialog => dialog.accept());
    const bytes = bytesOf(24 << 20, 9);
    const top = folder('again', { 'again.bin': bytes });
    await slow(page, 6 << 20);
    await dropOn(page, [top]);
    await page.waitForFunction(() => document.querySelector('#all').value > 6 << 20);
    const before = await page.locator('#all').evaluate(all => all.value);
    await page.keyboard.press('Escape');
    assert.equal(await page.getByRole('button', { name: 'Pause' }).count(), 1, 'Escape pauses nothing');
    await page.reload();
    assert.ok(!fs.existsSync(at('again', 'again.bin')), 'it was there before the reload');
    const offsets = [];
    page.on('request', request => { if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset'])); });
    await dropOn(page, [top]);
    await uploaded(page, '1 file uploaded');
    assert.ok(offsets[0] >= before - 1, `goes on at ${offsets[0]}, and ${before} were there`);
    assert.ok(fs.readFileSync(at('again', 'again.bin')).equals(bytes));
    await end();
  },

  async list_has_the_order_that_a_person_chooses() {
    fs.mkdirSync(at('order', 'folder'), { recursive: true });
    for (const [name, size, day] of [['file 10', 20, 2], ['file 9', 3000, 3], ['B', 100, 1]]) {
      fs.writeFileSync(at('order', name), 'x'.repeat(size));
      fs.utimesSync(at('order', name), day * 86400, day * 86400);
    }
    const { page, end } = await open(`${base}/order/`);
    const names = () => page.locator('#list tbody a').allTextContents();
    const header = name => page.getByRole('columnheader', { name });
    const press = async name => { await header(name).getByRole('button').focus(); await page.keyboard.press('Enter'); };
    const orders = async () => Promise.all(['Name', 'Size', 'Changed'].map(name => header(name).getAttribute('aria-sort')));
    assert.deepEqual(await orders(), [null, null, null]);
    for (const [name, order, up] of [
      ['Name', ['B', 'file 9', 'file 10'], 'ascending'], ['Name', ['file 10', 'file 9', 'B'], 'descending'],
      ['Changed', ['B', 'file 10', 'file 9'], 'ascending'], ['Changed', ['file 9', 'file 10', 'B'], 'descending'],
      ['Size', ['file 10', 'B', 'file 9'], 'ascending'], ['Size', ['file 9', 'B', 'file 10'], 'descending'],
    ]) {
      await press(name);
      assert.deepEqual(await names(), ['..', 'folder/', ...order], `${name} ${up}`);
      assert.deepEqual(await orders(), ['Name', 'Size', 'Changed'].map(one => one === name ? up : null));
    }
    await shot(page, 'sorted');
    // It holds for an entry that comes, with the focus where it was, and for the next page.
    await page.locator('#files').setInputFiles({ name: 'file 11', mimeType: 'text/plain', buffer: Buffer.from('x'.repeat(50)) });
    await page.locator('#list a', { hasText: 'file 11' }).waitFor();
    const expected = ['..', 'folder/', 'file 9', 'B', 'file 11', 'file 10'];
    assert.deepEqual(await names(), expected);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Size');
    await page.reload();
    assert.deepEqual(await names(), expected);
    const snapshot = await page.locator('#list').ariaSnapshot();
    for (const part of ['table "Files"', 'columnheader "Size"', 'button "Size"', 'row', 'cell']) assert.ok(snapshot.includes(part), `${part} is not in\n${snapshot}`);
    await end();
  },

  async empty_directory_and_a_missing_entry_are_told_kindly() {
    fs.mkdirSync(at('nothing'));
    for (const [name, options] of [['', {}], ['-phone', { viewport: { width: 390, height: 800 }, isMobile: true, deviceScaleFactor: 2 }]]) {
      const { page, end } = await open(`${base}/nothing/`, options, ['404 (Not Found)']);
      await page.getByText('Nothing is here yet.').waitFor();
      assert.equal(await page.getByRole('columnheader').count(), 0);
      await shot(page, `empty${name}`);
      const answer = await page.goto(`${base}/none/such.txt`);
      assert.equal(answer.status(), 404);
      await page.getByRole('heading', { name: 'Nothing is here' }).waitFor();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= page.viewportSize().width, `${width}`);
      await shot(page, `missing${name}`);
      await page.getByRole('link', { name: 'All files' }).click();
      await page.waitForURL(`${base}/`);
      await end();
    }
  },

  async keyboard_is_enough() {
    fs.mkdirSync(at('keys', 'inside'), { recursive: true });
    const { page, end } = await open(`${base}/keys/`);
    // From the first listener on, the browser tells of choosers and opens none.
    page.on('filechooser', () => {});
    const focused = () => page.evaluate(() => document.activeElement?.textContent || document.activeElement?.name);
    const tabTo = async text => {
      for (let i = 0; i < 20; i += 1) {
        if ((await focused()) === text) return;
        await page.keyboard.press('Tab');
      }
      assert.fail(`no Tab leads to ${text}`);
    };
    await tabTo('Choose files');
    await shot(page, 'focus');
    const chooser = page.waitForEvent('filechooser');
    await page.keyboard.press('Enter');
    const top = folder('keys', { 'by key.txt': 'typed' });
    await (await chooser).setFiles(path.join(top, 'by key.txt'));
    await uploaded(page, '1 file uploaded');
    assert.equal(fs.readFileSync(at('keys', 'by key.txt'), 'utf8'), 'typed');
    await tabTo('folder');
    await page.keyboard.type('made by key');
    await page.keyboard.press('Enter');
    await page.locator('#list a', { hasText: 'made by key/' }).waitFor();
    assert.ok(fs.statSync(at('keys', 'made by key')).isDirectory());
    await tabTo('inside/');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/keys/inside/');
    await end();
  },

  async reader_is_told_all() {
    fs.mkdirSync(at('reader'), { recursive: true });
    fs.writeFileSync(at('reader', 'notes.txt'), 'x');
    const { page, end } = await open(`${base}/reader/`);
    const snapshot = await page.locator('body').ariaSnapshot();
    for (const part of ['navigation "Directory"', 'link "Home"', 'heading "reader" [level=1]', 'button "Choose files"',
      'textbox "Name of the new folder"', 'link "notes.txt"', 'region "Upload"']) {
      assert.ok(snapshot.includes(part), `${part} is not in\n${snapshot}`);
    }
    await page.locator('#files').setInputFiles({ name: 'read.txt', mimeType: 'text/plain', buffer: Buffer.from('1') });
    await uploaded(page, '1 file uploaded');
    const live = page.locator('[aria-live=polite]');
    assert.equal(await live.textContent(), '1 file uploaded');
    assert.ok((await page.locator('body').ariaSnapshot()).includes('progressbar "All files"'));
    await end();
  },

  async dark_and_small_screens_fit() {
    fs.mkdirSync(at('screens', 'a folder with quite a long name that has to wrap'), { recursive: true });
    for (const name of ['holiday.jpg', 'x'.repeat(120) + '.txt', 'report 2026.pdf']) fs.writeFileSync(at('screens', name), 'x'.repeat(1500));
    for (const [name, options] of [
      ['light', {}],
      ['dark', { colorScheme: 'dark' }],
      ['phone', { viewport: { width: 390, height: 800 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }],
      ['phone dark', { viewport: { width: 390, height: 800 }, isMobile: true, colorScheme: 'dark', deviceScaleFactor: 2 }],
    ]) {
      const { page, end } = await open(`${base}/screens/`, options);
      await page.locator('#list a').first().waitFor();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= page.viewportSize().width, `${name}: ${width}`);
      const [ink, paper] = await page.evaluate(() => ['color', 'backgroundColor'].map(of => Number(/\d+/.exec(getComputedStyle(document.body)[of])[0])));
      assert.equal(ink > paper, name.includes('dark'), name);
      const small = await page.locator('button:visible').evaluateAll(all => all.filter(one => one.getBoundingClientRect().height < 40).map(one => one.textContent));
      assert.deepEqual(small, [], 'buttons that a finger misses');
      await page.locator('#files').setInputFiles({ name: `${name}.txt`, mimeType: 'text/plain', buffer: Buffer.from(name) });
      await uploaded(page, '1 file uploaded');
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= page.viewportSize().width);
      await shot(page, name.replace(' ', '-'));
      await end();
    }
  },

  async forms_do_without_script() {
    fs.mkdirSync(at('plain'), { recursive: true });
    const { page, end } = await open(`${base}/plain/`, { javaScriptEnabled: false }, ['409 (Conflict)']);
    const top = folder('plain', { 'one.txt': 'one', 'ünï <b>x': 'two' });
    const send = async replace => {
      await page.locator('input[type=file]').setInputFiles([path.join(top, 'one.txt'), path.join(top, 'ünï <b>x')]);
      if (replace) await page.getByLabel('Replace files').check();
      await page.getByRole('button', { name: 'Upload', exact: true }).click();
    };
    await send(false);
    await page.getByText('Stored: 2.').waitFor();
    for (const width of [390, 1000]) {
      await page.setViewportSize({ width, height: 800 });
      for (const part of ['main', '#list', '#send', 'input[type=file]']) {
        const box = await page.locator(part).first().boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= width, `${part} at ${width}: ${JSON.stringify(box)}`);
      }
      await shot(page, width === 390 ? 'no-script-phone' : 'no-script');
    }
    assert.deepEqual(tree(at('plain')), tree(top));
    await page.locator('input[name=folder]').fill('new folder');
    await page.getByRole('button', { name: 'Create' }).click();
    await page.locator('#list a', { hasText: 'new folder/' }).waitFor();
    fs.writeFileSync(path.join(top, 'one.txt'), 'other');
    await send(false);
    await page.getByText('Not stored: 2.').waitFor();
    await shot(page, 'no-script-refused');
    assert.equal(fs.readFileSync(at('plain', 'one.txt'), 'utf8'), 'one');
    await page.getByRole('link', { name: 'Back to the files' }).click();
    await send(true);
    await page.getByText('Stored: 2.').waitFor();
    assert.equal(fs.readFileSync(at('plain', 'one.txt'), 'utf8'), 'other');
    await end();
  },
};

const withAccounts = {
  async link_logs_in_and_out() {
    const token = name => fs.readFileSync(path.join(process.env.TOKENS, name), 'utf8').trim();
    fs.mkdirSync(at('alice', 'some'));
    fs.writeFileSync(at('alice', 'some', 'secret'), 'x');
    const noLogin = ['401 (Unauthorized)', '403 (Forbidden)'];
    // Without a login a browser shows the server's own page, and no dialog.
    const { page, context, answer, end } = await open(`${base}/some/`, {}, noLogin);
    assert.equal(answer.status(), 401);
    await page.getByLabel('Access token').fill('haul_wrong');
    await shot(page, 'login');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').waitFor();
    await page.getByLabel('Access token').fill(token('alice'));
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.waitForURL('**/some/');
    // The account may put and list, and read nothing.
    await page.getByRole('link', { name: 'secret' }).click();
    await page.getByRole('heading', { name: 'That is not allowed' }).waitFor();
    await shot(page, 'forbidden');
    await page.goBack();
    const [cookie] = await context.cookies();
    assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict' && !cookie.value.includes(token('alice').slice(5)));
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL('**/.haul/login');
    // A link: its token goes into the form, and out of the address.
    await page.goto('about:blank');
    await page.goto(`${base}/.haul/login#${token('box')}`);
    assert.equal(page.url(), `${base}/.haul/login`);
    // Nobody is logged in who has not said so: any page could lead here.
    await page.keyboard.press('Enter');
    await page.getByText('Send files').waitFor();
    assert.equal(page.url(), `${base}/`);
    assert.equal(await page.locator('#list').count(), 0);
    const top = folder('for the box', { 'letter.txt': 'dear', 'deep/empty/': '' });
    await dropOn(page, [top]);
    await uploaded(page, '2 files uploaded');
    await shot(page, 'drop');
    // A large one comes in pieces, as from anybody.
    const large = folder('large for the box', { 'large.bin': bytesOf(9 << 20, 13) });
    await dropOn(page, [large]);
    await uploaded(page, '1 file uploaded');
    const places = fs.readdirSync(at('box'));
    assert.equal(places.length, 1);
    assert.deepEqual(tree(at('box', places[0], 'large for the box')), tree(large));
    assert.deepEqual(tree(at('box', places[0], 'for the box')), tree(top));
    await end();
  },
};
const tools = { base, port, at, open, folder, tree, dropOn, uploaded, bytesOf, slow, shot, DEADLINE };
Object.assign(scenarios, troubles(tools));
if (process.env.TOKENS) Object.assign(scenarios, withAccounts, logins(tools));

let failed = 0;
for (const [name, run] of Object.entries(scenarios)) {
  if (wanted.length && !wanted.includes(name)) continue;
  const since = Date.now();
  try {
    await run();
    console.log(`ok ${name} ${Date.now() - since} ms`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
    for (const context of browser.contexts()) {
      for (const page of context.pages()) await shot(page, `failed-${name}`).catch(() => {});
      await context.close();
    }
  }
}
await browser.close();
process.exitCode = failed ? 1 : 0;
