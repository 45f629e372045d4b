// Scenarios of the page in which something is cancelled, refused, in the way or lost, and of trees that are large.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/// `tools`: what page.mjs has for all scenarios.
export const troubles = tools => {
  const { base, at, open, folder, tree, dropOn, uploaded, bytesOf, slow, shot } = tools;
  const until = async (what, holds) => {
    for (const since = Date.now(); !(await holds());) {
      assert.ok(Date.now() - since < tools.DEADLINE, `never: ${what}`);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  };
  const sent = (page, least) => page.waitForFunction(least => document.querySelector('#all').value > least, least);
  const partials = () => fs.readdirSync(at('.haul', 'partials')).length;
  /// The address that the next upload of a page gets.
  const begun = async page => {
    const answer = await page.waitForResponse(answer => answer.request().method() === 'POST' && answer.url().endsWith('/.haul/tus/'));
    return answer.headers().location;
  };

  return {
    async cancelled_files_leave_nothing_and_the_page_goes_on() {
      const { page, end } = await open(`${base}/`);
      const removed = [];
      page.on('request', request => { if (request.method() === 'DELETE') removed.push(new URL(request.url()).pathname); });
      const top = folder('cancel', { 'one.bin': bytesOf(24 << 20, 1), 'two.bin': bytesOf(9 << 20, 2) });
      await slow(page, 4 << 20);
      const address = begun(page);
      await dropOn(page, [top]);
      await sent(page, 1 << 20);
      // One of two: the other one arrives.
      await page.getByRole('button', { name: 'Cancel cancel/one.bin' }).click();
      await uploaded(page, '1 file uploaded, 1 skipped');
      assert.ok(!fs.existsSync(at('cancel', 'one.bin')));
      assert.ok(fs.readFileSync(at('cancel', 'two.bin')).equals(fs.readFileSync(path.join(top, 'two.bin'))));
      assert.ok((await address).startsWith('/.haul/tus/') && removed.every(one => one.startsWith('/.haul/tus/')) && removed.length === 1, `${removed}`);
      // All of it.
      const third = folder('cancel too', { 'three.bin': bytesOf(24 << 20, 3) });
      await dropOn(page, [third]);
      await sent(page, 1 << 20);
      await page.getByRole('button', { name: 'Cancel', exact: true }).click();
      await page.locator('#work').waitFor({ state: 'hidden' });
      await until('the server has nothing of it', () => !fs.existsSync(at('cancel too')) && removed.length === 2);
      await page.locator('#files').setInputFiles({ name: 'after.txt', mimeType: 'text/plain', buffer: Buffer.from('after') });
      await uploaded(page, '1 file uploaded');
      assert.equal(fs.readFileSync(at('after.txt'), 'utf8'), 'after');
      await end();
    },

    async refused_file_says_why_and_can_be_tried_again() {
      fs.writeFileSync(at('in the way'), 'a file where a directory has to be');
      const { page, end } = await open(`${base}/`);
      const top = folder('in the way', { 'a.txt': 'a', 'b.txt': 'b' });
      await dropOn(page, [top]);
      await page.getByRole('dialog').getByRole('button', { name: 'Replace' }).click();
      await uploaded(page, '2 failed');
      const why = await page.locator('#items li.fail .state').allTextContents();
      assert.ok(why.length === 2 && why.every(word => word.length > 5), `${why}`);
      await shot(page, 'refused');
      fs.rmSync(at('in the way'));
      await page.getByRole('button', { name: 'Try again' }).click();
      await uploaded(page, '2 files uploaded');
      assert.deepEqual(tree(at('in the way')), tree(top));
      await end();
    },

    async folder_button_keeps_the_paths() {
      const { page, end } = await open(`${base}/`);
      const top = folder('chosen', { 'a.txt': 'a', 'deep/er/b.txt': 'b', 'ünï <b>': 'c' });
      await page.locator('#folders').setInputFiles(top);
      await uploaded(page, '3 files uploaded');
      assert.deepEqual(tree(at('chosen')), tree(top));
      await end();
    },

    /// At least twice as long each time, so that a server that comes back is not overrun.
    async attempts_become_rarer_while_the_network_is_lost() {
      const { page, end } = await open(`${base}/`, {}, ['net::ERR_INTERNET_DISCONNECTED', 'net::ERR_FAILED']);
      const top = folder('rarer', { 'rarer.bin': bytesOf(20 << 20, 5) });
      const setOffline = await slow(page, 4 << 20);
      await dropOn(page, [top]);
      await sent(page, 2 << 20);
      const starts = [];
      let ended = 0;
      page.on('requestfailed', () => { ended = Date.now(); });
      page.on('request', request => { if (ended) starts.push([ended, Date.now(), request.method()]); });
      await setOffline(true);
      await until('three more attempts', () => starts.length >= 3);
      const shown = await page.locator('#trouble').textContent();
      assert.ok(Number(/tried again in (\d+) s/.exec(shown)?.[1]) <= 30, shown);
      // Nothing but the question how far it is, and never sooner than 1, 2 and 4 seconds.
      starts.slice(0, 3).forEach(([before, now, method], turn) => {
        assert.equal(method, 'HEAD');
        assert.ok(now - before > 900 * 2 ** turn, `${turn}: after ${now - before} ms`);
      });
      await setOffline(false);
      await uploaded(page, '1 file uploaded');
      assert.deepEqual(tree(at('rarer')), tree(top));
      await end();
    },

    async each_file_has_a_bar_of_its_own() {
      const { page, end } = await open(`${base}/`);
      const top = folder('bars', { 'large.bin': bytesOf(16 << 20, 6), 'small.txt': 'small' });
      await slow(page, 4 << 20);
      await dropOn(page, [top]);
      const bar = name => page.locator(`#items progress[aria-label="${name}"]`);
      await page.waitForFunction(() => [...document.querySelectorAll('#items progress')].some(bar => bar.value > 1 << 20 && bar.value < bar.max));
      assert.equal(await bar('bars/large.bin').evaluate(bar => bar.max), 16 << 20);
      await page.getByText(/ of 16 MiB$/).first().waitFor();
      await page.waitForFunction(() => document.querySelectorAll('#items li.done progress').length === 1);
      assert.ok(await bar('bars/small.txt').evaluate(bar => bar.value === bar.max), 'the small one is there already');
      await uploaded(page, '2 files uploaded');
      assert.ok(await bar('bars/large.bin').evaluate(bar => bar.value === bar.max));
      await end();
    },

    async large_and_deep_files_that_are_there_are_asked_about_too() {
      const deep = `${'d/'.repeat(40)}deep.txt`;
      const { page, end } = await open(`${base}/`, {}, ['409 (Conflict)', '412 (Precondition Failed)', '404 (Not Found)']);
      const first = folder('first/there', { 'large.bin': bytesOf(9 << 20, 1), [deep]: 'first' });
      await dropOn(page, [first]);
      await uploaded(page, '2 files uploaded');
      const again = folder('second/there', { 'large.bin': bytesOf(10 << 20, 2), [deep]: 'second!' });
      await dropOn(page, [again]);
      await page.getByRole('dialog').getByRole('button', { name: 'Keep both' }).click();
      await uploaded(page, '2 files uploaded');
      const right = (name, from) => assert.ok(fs.readFileSync(at('there', name)).equals(fs.readFileSync(from)), name);
      right('large.bin', path.join(first, 'large.bin'));
      right('large (2).bin', path.join(again, 'large.bin'));
      right(deep, path.join(first, deep));
      right(deep.replace('deep.txt', 'deep (2).txt'), path.join(again, deep));
      // One that comes while the upload is under way is not replaced either. Its upload is gone before the page takes it back (404).
      const third = folder('third/meanwhile', { 'large.bin': bytesOf(12 << 20, 3) });
      await slow(page, 2 << 20);
      const address = begun(page);
      await dropOn(page, [third]);
      await address;
      fs.mkdirSync(at('meanwhile'), { recursive: true });
      fs.writeFileSync(at('meanwhile', 'large.bin'), 'other');
      await page.getByRole('dialog').getByRole('button', { name: 'Skip' }).click();
      await uploaded(page, '1 skipped');
      assert.equal(fs.readFileSync(at('meanwhile', 'large.bin'), 'utf8'), 'other');
      await end();
    },

    /// The server says 409, and the page asks how far the upload is rather than to begin anew.
    async upload_that_another_request_has_taken_goes_on_where_it_is() {
      const { page, end } = await open(`${base}/`, {}, ['409 (Conflict)', '404 (Not Found)']);
      const top = folder('taken', { 'taken.bin': bytesOf(20 << 20, 8) });
      await slow(page, 5 << 20);
      const address = begun(page);
      const asked = [];
      page.on('request', request => { if (request.url().includes('/.haul/tus/')) asked.push(request.method()); });
      page.on('response', answer => { if (answer.request().method() === 'PATCH') asked.push(answer.status()); });
      await dropOn(page, [top]);
      const upload = await address;
      await sent(page, 2 << 20);
      await until('the page is told that its request was overtaken', async () => {
        await fetch(`http://127.0.0.1:${tools.port}${upload}`, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
        return asked.includes(409);
      });
      await uploaded(page, '1 file uploaded');
      assert.deepEqual(tree(at('taken')), tree(top));
      const after = asked.slice(asked.indexOf(409) + 1);
      assert.equal(after.find(word => typeof word === 'string'), 'HEAD', `${asked}`);
      assert.equal(asked.filter(word => word === 'POST').length, 1, `${asked}`);
      await end();
    },

    async directory_opens_while_files_are_on_their_way() {
      fs.mkdirSync(at('opens', 'inside'), { recursive: true });
      fs.writeFileSync(at('opens', 'inside', 'here.txt'), 'x');
      const { page, end } = await open(`${base}/opens/`);
      await page.evaluate(() => { window.isSamePage = true; });
      const top = folder('on its way', { 'way.bin': bytesOf(16 << 20, 4) });
      await slow(page, 5 << 20);
      await dropOn(page, [top]);
      await sent(page, 1 << 20);
      await page.locator('#list a', { hasText: 'inside/' }).click();
      await page.locator('#list a', { hasText: 'here.txt' }).waitFor();
      assert.equal(new URL(page.url()).pathname, '/opens/inside/');
      assert.ok(await page.evaluate(() => window.isSamePage));
      await page.goBack();
      await page.locator('#list a', { hasText: 'inside/' }).waitFor();
      await uploaded(page, '1 file uploaded');
      assert.deepEqual(tree(at('opens', 'on its way')), tree(top));
      await end();
    },

    async files_are_pasted_and_fetched_by_a_click_and_none_of_them_runs() {
      fs.mkdirSync(at('fetch'));
      const { page, end } = await open(`${base}/fetch/`);
      const bytes = bytesOf(300_000, 11);
      await page.evaluate(text => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))], 'pasted.bin'));
        dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
      }, bytes.toString('base64'));
      await uploaded(page, '1 file uploaded');
      const fetched = async name => {
        const download = page.waitForEvent('download');
        await page.locator('#list a', { hasText: name }).click();
        return fs.readFileSync(await (await download).path());
      };
      assert.ok((await fetched('pasted.bin')).equals(bytes));
      // Active files are saved, and do nothing in the name of the server.
      const script = 'top.document.title = "ran"; fetch("/ran", { method: "PUT", body: "ran" });';
      const active = { 'a.html': `<script>${script}</script>`, 'a.svg': `<svg xmlns="http://www.w3.org/2000/svg" onload='${script}'/>` };
      for (const [name, text] of Object.entries(active)) {
        fs.writeFileSync(at('fetch', name), text);
        await page.reload();
        assert.equal((await fetched(name)).toString(), text);
        await page.evaluate(name => new Promise(resolve => {
          const frame = Object.assign(document.createElement('iframe'), { src: name, onload: resolve });
          document.body.append(frame);
          setTimeout(resolve, 300);
        }), name).catch(() => {});
        assert.ok(!fs.existsSync(at('ran')) && await page.title() !== 'ran', name);
      }
      await page.context().close();
      void end;
    },

    async directory_of_thousands_is_whole_sorted_and_readable() {
      fs.mkdirSync(at('thousands'));
      for (let i = 0; i < 2000; i += 1) fs.writeFileSync(at('thousands', `file ${String(i).padStart(4, '0')}`), 'x'.repeat(i % 97));
      const { page, end } = await open(`${base}/thousands/`);
      const rows = page.locator('#list tbody tr');
      assert.equal(await rows.count(), 2001);
      await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click();
      await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click();
      assert.equal(await rows.nth(1).locator('a').textContent(), 'file 1999');
      const last = page.locator('#list a', { hasText: 'file 0000' });
      await last.scrollIntoViewIfNeeded();
      assert.ok(await last.isVisible());
      await shot(page, 'thousands');
      // A reader gets all of them, also those that are not drawn.
      for (const name of ['file 0000', 'file 1000', 'file 1999']) {
        assert.equal(await page.getByRole('link', { name, exact: true }).count(), 1, name);
      }
      await end();
    },
  };
};

/// With accounts: a login that ends in the midst of an upload.
export const logins = tools => ({
  async login_that_ends_within_an_upload_is_told_and_the_upload_goes_on_after_a_new_one() {
    const { base, at, open, folder, dropOn, uploaded, bytesOf, slow, shot } = tools;
    const token = fs.readFileSync(path.join(process.env.TOKENS, 'carol'), 'utf8').trim();
    const { page, context, end } = await open(`${base}/.haul/login`, {}, ['401 (Unauthorized)']);
    const logIn = async (page, token) => {
      await page.getByLabel('Access token').fill(token);
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.waitForURL(`${base}/`);
    };
    await logIn(page, token);
    const top = folder('ends', { 'ends.bin': bytesOf(20 << 20, 12) });
    await slow(page, 4 << 20);
    await dropOn(page, [top]);
    await page.waitForFunction(() => document.querySelector('#all').value > 2 << 20);
    const words = ['user', 'rotate', 'carol', '--config-dir', process.env.CONFIG];
    const next = execFileSync(process.env.HAULD, words, { encoding: 'utf8' }).trim();
    await page.getByText('The login has ended.').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Log in again' }).getAttribute('href'), '/.haul/login');
    await shot(page, 'login-ended');
    const other = await context.newPage();
    await other.goto(`${base}/.haul/login`);
    await logIn(other, next);
    await page.getByRole('button', { name: 'Resume' }).click();
    await uploaded(page, '1 file uploaded');
    const arrived = fs.readFileSync(at('carol', 'ends', 'ends.bin'));
    assert.ok(arrived.equals(fs.readFileSync(path.join(top, 'ends.bin'))));
    await end();
  },
});
