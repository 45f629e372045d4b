'use strict';
// The page of a directory. All names are put in as text (textContent); nothing is asked of another server.
(() => {
  const $ = (what, where = document) => where.querySelector(what);
  const make = (tag, facts = {}, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(facts)) {
      if (name in made) made[name] = value; else made.setAttribute(name, value);
    }
    made.append(...inside);
    return made;
  };
  const form = $('#upload');
  const folder = $('#folder');
  const isDrop = document.body.dataset.view === 'drop';

  // Files over this size go one by one, in pieces that can be gone on with; all others go many in one request.
  const BIG = 8 << 20;
  const MOST_ROWS = 2000;
  const AT_ONCE = 2;
  const SECONDS_OF_A_PIECE = 2;

  // ---- Words ----

  const bytes = n => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let unit = 0;
    while (n >= 1000 && unit < 4) { n /= 1024; unit += 1; }
    return `${unit ? n.toFixed(n < 10 ? 1 : 0) : n} ${units[unit]}`;
  };
  const time = s => s < 60 ? `${Math.max(1, Math.round(s))} s`
    : s < 3600 ? `${Math.round(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min`;
  const files = n => n === 1 ? '1 file' : `${n} files`;
  const encode = path => path.split('/').map(encodeURIComponent).join('/');
  const base64 = text => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

  const localTimes = where => {
    for (const t of [...where.querySelectorAll('time')].slice(0, 1000)) {
      const date = new Date(t.dateTime);
      if (!isNaN(date)) t.textContent = date.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
    }
  };

  if (!form) {
    addEventListener('DOMContentLoaded', () => localTimes(document));
    return;
  }

  // ---- The controls ----

  const input = (facts, hint) => make('input', { type: 'file', multiple: true, className: 'hint', tabIndex: -1, 'aria-label': hint, ...facts });
  const anyFiles = input({ id: 'files' }, 'Files to upload');
  const anyFolder = input({ id: 'folders', webkitdirectory: true }, 'Folder to upload');
  const choose = make('button', { type: 'button', className: 'main', textContent: 'Choose files', onclick: () => anyFiles.click() });
  const chooseFolder = make('button', { type: 'button', textContent: 'Choose a folder', onclick: () => anyFolder.click(), hidden: !('webkitdirectory' in anyFolder) });
  form.replaceChildren(
    make('p', { className: 'big', textContent: matchMedia('(pointer: coarse)').matches ? 'Upload files' : 'Drop files and folders here' }),
    make('p', { className: 'row' }, choose, chooseFolder),
    make('p', { className: 'soft', textContent: 'An interrupted upload goes on where it stopped.' }),
    anyFiles, anyFolder,
  );
  form.onsubmit = event => event.preventDefault();

  const what = make('strong', { id: 'what' });
  const left = make('span', { id: 'left', className: 'soft' });
  const all = make('progress', { id: 'all', max: 1, value: 0, 'aria-label': 'All files' });
  const detail = make('p', { id: 'detail', className: 'soft' });
  const trouble = make('p', { id: 'trouble', className: 'bad', hidden: true });
  const pause = make('button', { type: 'button', id: 'pause', textContent: 'Pause' });
  const retry = make('button', { type: 'button', id: 'retry', textContent: 'Try again', hidden: true });
  const cancel = make('button', { type: 'button', id: 'cancel', textContent: 'Cancel' });
  const rows = make('ul', { id: 'items', 'aria-label': 'Files of this upload' });
  const live = make('p', { id: 'live', className: 'hint', role: 'status', 'aria-live': 'polite' });
  const work = make('section', { id: 'work', hidden: true, 'aria-label': 'Upload' },
    make('div', { className: 'bar' }, what, left, pause, retry, cancel), all, detail, trouble, rows);
  $('#send').after(work, live);

  // ---- The files of this upload ----

  // Each: dir (address of the directory), path (below it), file (none: a directory), size, mtime, state, sent.
  let items = [];
  let small = [];
  let big = [];
  let asked = [];
  let busy = 0;
  let isPaused = false;
  let mode = isDrop ? 'replace' : null;
  let tries = 0;
  let waits = 0;          // Until then nothing is sent, because the connection was lost.
  let pieceBytes = 1 << 20;
  let samples = [];
  let said = 0;
  let isDirty = false;
  const requests = new Set();
  const sending = new Set();
  const total = { count: 0, bytes: 0, done: 0, doneBytes: 0, failed: 0, skipped: 0 };

  const isActive = () => total.count > total.done + total.failed + total.skipped;
  const say = text => { live.textContent = text; };

  const add = (path, file, dir) => {
    const item = { dir, path, file, size: file ? file.size : 0, mtime: file ? Math.floor(file.lastModified / 1000) : 0, state: 'waiting', sent: 0 };
    items.push(item);
    total.count += 1;
    total.bytes += item.size;
    try { encodeURIComponent(path); } catch { return fail(item, 'its name is not valid text'); }
    queue(item);
  };

  const queue = item => {
    item.state = 'waiting';
    (item.size > BIG || item.isDeep ? big : small).push(item);
  };

  const begin = before => {
    if (items.length === before) return;
    work.hidden = false;
    if (items.length <= 300) items.slice(before).forEach(show);
    say(`Uploading ${files(items.length - before)}`);
    pump();
    draw();
  };

  const reset = () => {
    for (const item of items) item.row = null;
    items = []; small = []; big = []; asked = []; samples = [];
    Object.assign(total, { count: 0, bytes: 0, done: 0, doneBytes: 0, failed: 0, skipped: 0 });
    mode = isDrop ? 'replace' : null;
    isPaused = false; tries = 0; waits = 0; said = 0;
    rows.replaceChildren();
    work.hidden = true;
    trouble.hidden = true;
  };

  const show = item => {
    if (item.row) return;
    item.bar = make('progress', { max: item.size || 1, value: item.sent, 'aria-label': item.path });
    item.word = make('span', { className: 'state' });
    item.row = make('li', {}, make('span', { className: 'name', textContent: item.file ? item.path : `${item.path}/` }), item.bar, item.word,
      make('button', { type: 'button', className: 'quiet', textContent: '✕', 'aria-label': `Cancel ${item.path}`, onclick: () => drop(item) }));
    rows.append(item.row);
    drawItem(item);
  };

  const words = { waiting: 'waiting', sending: 'sending', done: 'done', skip: 'skipped', ask: 'exists already' };
  const drawItem = item => {
    if (!item.row) return;
    item.row.className = item.state;
    item.bar.value = item.state === 'done' ? item.size || 1 : item.sent;
    item.word.textContent = item.state === 'fail' ? item.why
      : item.state === 'sending' && item.size > BIG ? `${bytes(item.sent)} of ${bytes(item.size)}` : words[item.state];
    const isOver = ['done', 'fail', 'skip'].includes(item.state);
    item.row.lastChild.hidden = isOver;
    if (isOver && item.state !== 'fail' && items.length > 300) { item.row.remove(); item.row = null; }
  };

  const settle = (item, state, why) => {
    item.state = state;
    item.why = why;
    if (state === 'done') { total.done += 1; total.doneBytes += item.size; item.sent = item.size; isDirty = true; }
    if (state === 'skip') { total.skipped += 1; total.bytes -= item.size; }
    if (state === 'fail') { total.failed += 1; total.bytes -= item.size; show(item); }
    drawItem(item);
  };
  const fail = (item, why) => settle(item, 'fail', (why || 'failed').trim());

  // Takes one file back.
  const drop = item => {
    if (item.state === 'sending' && !item.request) return;
    for (const list of [small, big, asked]) {
      const at = list.indexOf(item);
      if (at >= 0) list.splice(at, 1);
    }
    item.isDropped = true;
    if (item.request) item.request.abort();
    else settle(item, 'skip');
    forget(item);
    draw();
  };

  // An entry has the name already.
  const conflict = (item, found, why) => {
    if (found && item.file && found.size === item.size && (found.mtime === item.mtime || item.isAgain)) return settle(item, 'done');
    if (mode === 'skip') return settle(item, 'skip');
    if (mode === 'replace' || !item.file) return fail(item, why);
    if (mode === 'both') {
      item.copy = (item.copy || 1) + 1;
      item.base = item.base || item.path;
      const [, stem, end] = /^(.*?[^/])(\.[^./]*)?$/s.exec(item.base);
      item.path = `${stem} (${item.copy})${end || ''}`;
      if (item.row) item.row.firstChild.textContent = item.path;
      return item.copy > 99 ? fail(item, why) : queue(item);
    }
    item.state = 'ask';
    drawItem(item);
    asked.push(item);
    ask();
  };

  const dialogText = make('p');
  const dialog = make('dialog', { id: 'conflict', 'aria-labelledby': 'conflict-title' },
    make('form', { method: 'dialog' },
      make('h2', { id: 'conflict-title', textContent: 'Some files are there already' }), dialogText,
      make('div', { className: 'row' },
        ...[['skip', 'Skip'], ['replace', 'Replace'], ['both', 'Keep both']].map(([value, textContent]) => make('button', { value, textContent })))));
  document.body.append(dialog);
  dialog.oncancel = event => event.preventDefault();
  dialog.onclose = () => {
    mode = dialog.returnValue || 'skip';
    const list = asked;
    asked = [];
    for (const item of list) if (mode === 'replace') queue(item); else conflict(item);
    pump();
  };
  const ask = () => {
    const names = asked.slice(0, 3).map(item => item.path).join(', ');
    dialogText.textContent = `${names}${asked.length > 3 ? ` and ${asked.length - 3} more` : ''}. The choice holds for all of this upload.`;
    if (!dialog.open) dialog.showModal();
  };

  // ---- Requests ----

  const send = (method, address, headers = {}, body = null, told = null, item = null) => new Promise(resolve => {
    const request = new XMLHttpRequest();
    let seen = Date.now();
    request.open(method, address);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = event => { seen = Date.now(); if (told) told(event.loaded); };
    // A connection that neither takes nor gives a byte is lost, whatever the system says.
    const watch = setInterval(() => { if (Date.now() - seen > 60000) request.abort(); }, 5000);
    request.onloadend = () => {
      clearInterval(watch);
      requests.delete(request);
      if (item) item.request = null;
      resolve({ status: request.status, text: request.responseText, field: name => request.getResponseHeader(name) });
    };
    requests.add(request);
    if (item) item.request = request;
    request.send(body);
  });

  const went = (length, since) => {
    tries = 0;
    const speed = length / Math.max(0.01, (performance.now() - since) / 1000);
    pieceBytes = Math.min(64 << 20, Math.max(256 << 10, (pieceBytes + speed * SECONDS_OF_A_PIECE) / 2));
  };

  const isLost = status => status === 0 || status === 408 || status === 429 || status === 502 || status === 503 || status === 504;

  // Puts files back whose request has failed, or gives up on them. Their bytes may be there, and only the answer was lost.
  const again = async (list, answer) => {
    list = list.filter(item => !item.isDropped || (settle(item, 'skip'), false));
    if (!list.length) return;
    if (answer.status === 401) {
      isPaused = true;
      trouble.replaceChildren('The login has ended. ', make('a', { href: '/.haul/login', target: '_blank', textContent: 'Log in again' }), ', then resume.');
      trouble.hidden = false;
    } else if (isLost(answer.status)) {
      if (!isPaused) {
        tries += 1;
        waits = Date.now() + Math.min(30, 2 ** Math.min(tries, 5)) * 500 * (1 + Math.random() / 2);
        if (tries === 1) say('The connection is lost. It is tried again.');
      }
      if (answer.status === 0 && tries > 1) {
        // One file that can't be read fails a whole request.
        for (const item of list) {
          try { if (item.file) await item.file.slice(0, 1).arrayBuffer(); } catch { fail(item, 'it can’t be read'); }
        }
      }
    } else if (list.length > 1) {
      for (const item of list) item.isAlone = true;
    } else {
      return fail(list[0], answer.text.slice(0, 300) || `the server answered ${answer.status}`);
    }
    for (const item of list) {
      if (item.state === 'fail') continue;
      item.isAgain = true;
      item.state = 'waiting';
      drawItem(item);
      (item.size > BIG || item.isDeep ? big : small).unshift(item);
    }
  };

  const many = async list => {
    const parts = [];
    let length = 0;
    for (const item of list) {
      const row = { name: item.path, replace: mode === 'replace' };
      if (item.file) { row.size = item.size; row.mtime = item.mtime; }
      parts.push(`${JSON.stringify(row)}\n`);
      if (item.file) parts.push(item.file);
      length += item.size;
    }
    const since = performance.now();
    const to = list[0].dir.replace(/[&=+]/g, encodeURIComponent);
    const answer = await send('POST', `/.haul/many?to=${to}`, { 'Content-Type': 'application/vnd.haul.rows' }, new Blob(parts));
    if (answer.status !== 200) return again(list, answer);
    went(length, since);
    JSON.parse(answer.text).entries.forEach((told, at) => {
      const item = list[at];
      if (told.status < 300) settle(item, 'done');
      else if (told.status === 409) conflict(item, told.found, told.why);
      else if (isLost(told.status)) again([item], told);
      // Too deep for such a request.
      else if (told.status === 501) { item.isDeep = true; queue(item); }
      else fail(item, told.why);
    });
  };

  // ---- Large files: tus, if the server has it ----

  let tus;
  const hasTus = () => tus ??= send('OPTIONS', '/.haul/tus/').then(answer => {
    if (answer.status === 0) tus = undefined;
    return !!answer.field('Tus-Resumable');
  });

  const database = new Promise(resolve => {
    try {
      const request = indexedDB.open('haul', 1);
      request.onupgradeneeded = () => request.result.createObjectStore('uploads');
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    } catch { resolve(null); }
  });
  const kept = async (how, ...words) => {
    const db = await database;
    if (!db) return undefined;
    return new Promise(resolve => {
      const request = db.transaction('uploads', how === 'get' ? 'readonly' : 'readwrite').objectStore('uploads')[how](...words);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(undefined);
    });
  };
  const fingerprint = item => `${item.dir}${item.path}|${item.size}|${item.file.lastModified}`;
  const forget = item => {
    if (item.address) send('DELETE', item.address, { 'Tus-Resumable': '1.0.0' });
    if (item.size > BIG) kept('delete', fingerprint(item));
    item.address = null;
  };

  const found = async item => {
    const answer = await send('HEAD', item.dir + encode(item.path));
    if (answer.status !== 200) return null;
    return { size: Number(answer.field('Content-Length')), mtime: Date.parse(answer.field('Last-Modified')) / 1000 };
  };

  const directory = async item => {
    const answer = await send('MKCOL', `${item.dir}${encode(item.path)}/`, {}, null, null, item);
    if (answer.status === 201 || answer.status === 405) settle(item, 'done'); else again([item], answer);
  };

  const put = async item => {
    const since = performance.now();
    const headers = mode === 'replace' ? {} : { 'If-None-Match': '*' };
    // Without tus nobody but the browser knows how much has gone, so it is not counted before the answer.
    const answer = await send('PUT', item.dir + encode(item.path), headers, item.file, null, item);
    if (answer.status === 409 || answer.status === 412) return conflict(item, item.isAgain && await found(item), answer.text);
    if (answer.status < 200 || answer.status > 299) return again([item], answer);
    went(item.size, since);
    settle(item, 'done');
  };

  // The server has bytes of an earlier attempt: they are no part of the speed.
  const learned = (item, offset) => {
    for (const sample of samples) sample[1] += offset - item.sent;
    item.sent = offset;
  };

  const large = async item => {
    let path;
    try { path = decodeURIComponent(item.dir).replace(/^\/\.haul\/dav\//, '/').slice(1) + item.path; } catch { path = null; }
    const has = await hasTus();
    if (isPaused || item.isDropped) return again([item], { status: 0, text: '' });
    if (!item.file) return directory(item);
    if (!has || path === null || item.size <= BIG) return put(item);
    const version = { 'Tus-Resumable': '1.0.0' };
    let offset = null;
    item.address ??= await kept('get', fingerprint(item));
    if (item.address) {
      const answer = await send('HEAD', item.address, version, null, null, item);
      if (answer.status === 200) offset = Number(answer.field('Upload-Offset'));
      else if (isLost(answer.status) || answer.status === 401) return again([item], answer);
      else item.address = null;
    }
    if (!item.address) {
      const facts = { filename: path, mtime: String(item.mtime), ...(mode === 'replace' ? {} : { replace: 'no' }) };
      const answer = await send('POST', '/.haul/tus/', {
        ...version, 'Upload-Length': item.size,
        'Upload-Metadata': Object.entries(facts).map(([name, value]) => `${name} ${base64(value)}`).join(','),
      }, null, null, item);
      if (answer.status === 409) return conflict(item, await found(item), answer.text);
      if (answer.status !== 201) return again([item], answer);
      item.address = answer.field('Location');
      offset = 0;
      await kept('put', item.address, fingerprint(item));
    }
    learned(item, offset);
    while (offset < item.size) {
      if (isPaused || item.isDropped) return again([item], { status: 0, text: '' });
      const end = Math.min(item.size, offset + Math.max(1 << 20, Math.round(pieceBytes)));
      const since = performance.now();
      const answer = await send('PATCH', item.address, {
        ...version, 'Upload-Offset': offset, 'Content-Type': 'application/offset+octet-stream',
      }, item.file.slice(offset, end), null, item);
      if (answer.status === 404 || answer.status === 410) { item.address = null; await kept('delete', fingerprint(item)); }
      if (answer.status === 409) {
        const other = await found(item);
        if (other && mode !== 'replace' && end === item.size) { forget(item); return conflict(item, other, answer.text); }
      }
      if ([404, 409, 410, 460].includes(answer.status)) return again([item], { status: 503, text: answer.text });
      if (answer.status !== 204) return again([item], answer);
      went(end - offset, since);
      offset = Number(answer.field('Upload-Offset'));
      item.sent = offset;
      drawItem(item);
    }
    await kept('delete', fingerprint(item));
    item.address = null;
    settle(item, 'done');
  };

  // ---- The order in which files go ----

  const next = () => {
    const isSmallDue = small.length && (!big.length || !items.isSmall);
    if (!isSmallDue) {
      const item = big.shift();
      return item && { list: [item], run: () => large(item) };
    }
    let length = 0;
    let count = 0;
    const first = small[0];
    while (count < small.length && count < MOST_ROWS) {
      const item = small[count];
      if (item.dir !== first.dir || (count && (length + item.size > pieceBytes || item.isAlone || first.isAlone))) break;
      length += item.size;
      count += 1;
    }
    const list = small.splice(0, count);
    return { list, run: () => many(list), isSmall: true };
  };

  const pump = () => {
    while (!isPaused && busy < AT_ONCE && Date.now() >= waits) {
      const job = next();
      if (!job) break;
      busy += 1;
      if (job.isSmall) items.isSmall = true;
      for (const item of job.list) { item.state = 'sending'; sending.add(item); if (items.length <= 300 || item.size > BIG) show(item); drawItem(item); }
      job.run().catch(error => job.list.forEach(item => item.state === 'sending' && fail(item, String(error)))).finally(() => {
        busy -= 1;
        for (const item of job.list) sending.delete(item);
        if (job.isSmall) items.isSmall = false;
        pump();
      });
    }
  };

  // ---- Progress ----

  const draw = () => {
    if (work.hidden) return;
    const now = Date.now();
    const sent = total.doneBytes + [...new Set([...big, ...sending])].reduce((sum, item) => ['waiting', 'sending'].includes(item.state) ? sum + item.sent : sum, 0);
    const done = total.done + total.skipped + total.failed;
    samples.push([now, sent, done]);
    while (samples.length > 2 && now - samples[0][0] > 15000) samples.shift();
    const [since, sentThen, doneThen] = samples[0];
    const seconds = Math.max(0.001, (now - since) / 1000);
    const speed = (sent - sentThen) / seconds;
    const rate = (done - doneThen) / seconds;
    all.max = Math.max(1, total.bytes + total.count);
    all.value = sent + done;
    const isLostNow = tries > 0 && now < waits;
    if (isActive()) {
      what.textContent = isPaused ? `Paused at ${done} of ${files(total.count)}` : `Uploading ${done} of ${files(total.count)}`;
      detail.textContent = `${bytes(sent)} of ${bytes(total.bytes)}${speed > 0 && !isPaused ? `, ${bytes(Math.round(speed))}/s` : ''}`;
      // Many small files take as long as their number, large ones as their bytes.
      const eta = Math.max(speed > 0 ? (total.bytes - sent) / speed : rate > 0 ? 0 : Infinity, rate > 0 && total.count - done > 50 ? (total.count - done) / rate : 0);
      left.textContent = isPaused || isLostNow || seconds < 2 || !isFinite(eta) ? '' : `about ${time(eta)} left`;
      if (isLostNow) {
        trouble.textContent = `The connection is lost. It is tried again in ${time((waits - now) / 1000)}.`;
        trouble.hidden = false;
      } else if (!isPaused) trouble.hidden = true;
      const part = Math.floor(4 * all.value / all.max);
      if (part > said && part < 4) { said = part; say(`${part * 25} percent uploaded`); }
    } else {
      const failed = total.failed ? `, ${total.failed} failed` : '';
      const skipped = total.skipped ? `, ${total.skipped} skipped` : '';
      const text = `${files(total.done)} uploaded${skipped}${failed}`;
      if (what.textContent !== text) { what.textContent = text; say(text); all.value = all.max; }
      detail.textContent = bytes(total.doneBytes);
      left.textContent = '';
      trouble.hidden = true;
    }
    pause.hidden = !isActive();
    pause.textContent = isPaused ? 'Resume' : 'Pause';
    retry.hidden = isActive() || !total.failed;
    cancel.textContent = isActive() ? 'Cancel' : 'Close';
  };

  let refreshed = 0;
  setInterval(() => {
    pump();
    draw();
    const isDue = !isActive() || Date.now() - refreshed > 4000;
    if (isDirty && isDue && !isDrop && document.readyState === 'complete') {
      isDirty = false;
      refreshed = Date.now();
      refresh(location.pathname);
    }
  }, 250);

  pause.onclick = () => {
    isPaused = !isPaused;
    say(isPaused ? 'Paused' : 'Going on');
    if (isPaused) for (const request of [...requests]) request.abort();
    else { waits = 0; tries = 0; samples = []; pump(); }
    draw();
  };
  retry.onclick = () => {
    total.failed = 0;
    for (const item of items.filter(item => item.state === 'fail')) { total.bytes += item.size; item.isDropped = false; queue(item); drawItem(item); }
    pause.focus();
    pump();
    draw();
  };
  cancel.onclick = () => {
    const list = items.filter(item => item.address);
    for (const item of items) item.isDropped = true;
    small = []; big = [];
    for (const request of [...requests]) request.abort();
    list.forEach(forget);
    reset();
    choose.focus();
  };
  addEventListener('online', () => { waits = 0; pump(); });
  addEventListener('beforeunload', event => { if (isActive()) event.preventDefault(); });

  // ---- What is given to the page ----

  const entriesOf = async directory => {
    const reader = directory.createReader();
    const entries = [];
    for (;;) {
      // At most 100 come at once.
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return entries;
      entries.push(...some);
    }
  };
  const walk = async (entry, above, dir) => {
    const path = above + entry.name;
    try {
      if (entry.isFile) return add(path, await new Promise((resolve, reject) => entry.file(resolve, reject)), dir);
      const entries = await entriesOf(entry);
      if (!entries.length) add(path, null, dir);
      for (const inside of entries) await walk(inside, `${path}/`, dir);
    } catch {
      const item = { dir, path, file: null, size: 0, state: 'fail', sent: 0 };
      items.push(item);
      total.count += 1;
      fail(item, 'it can’t be read');
    }
  };

  const take = async (list, dir) => {
    if (!isActive() && items.length) reset();
    const before = items.length;
    work.hidden = false;
    what.textContent = 'Reading the folder…';
    for (const one of list) {
      if (one instanceof File) add(one.webkitRelativePath || one.name, one, dir);
      else await walk(one, '', dir);
    }
    begin(before);
  };

  for (const field of [anyFiles, anyFolder]) {
    field.onchange = () => { const list = [...field.files]; field.value = ''; take(list, location.pathname); };
  }
  let depth = 0;
  const isOfFiles = event => [...event.dataTransfer.types].includes('Files');
  addEventListener('dragenter', event => { if (isOfFiles(event)) { depth += 1; document.body.classList.add('over'); } });
  addEventListener('dragleave', () => { depth = Math.max(0, depth - 1); if (!depth) document.body.classList.remove('over'); });
  addEventListener('dragover', event => { if (isOfFiles(event)) event.preventDefault(); });
  addEventListener('drop', event => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    depth = 0;
    document.body.classList.remove('over');
    // All entries have to be asked for before the first wait.
    const list = [...event.dataTransfer.items].filter(item => item.kind === 'file').map(item => item.webkitGetAsEntry?.() || item.getAsFile());
    take(list.filter(Boolean), location.pathname);
  });
  addEventListener('paste', event => { const list = [...event.clipboardData.files]; if (list.length) take(list, location.pathname); });

  // ---- Directories ----

  const refresh = async (path, push) => {
    let text;
    try {
      const answer = await fetch(path, { headers: { Accept: 'text/html' } });
      if (!answer.ok) return;
      text = await answer.text();
    } catch { return; }
    if (!push && path !== location.pathname) return;
    const page = new DOMParser().parseFromString(text, 'text/html');
    const href = document.activeElement?.closest('#list') ? document.activeElement.getAttribute('href') : null;
    for (const part of ['h1', 'nav', '#list']) {
      const [mine, other] = [$(part), $(part, page)];
      if (mine && other) mine.replaceWith(document.adoptNode(other));
    }
    localTimes($('#list'));
    document.title = page.title;
    if (push) { history.pushState({}, '', path); scrollTo(0, 0); }
    if (href) [...document.querySelectorAll('#list a')].find(a => a.getAttribute('href') === href)?.focus();
  };
  // While files are on their way, a directory opens without leaving the page.
  document.addEventListener('click', event => {
    const a = event.target.closest?.('a[href]');
    if (!a || !isActive() || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (a.target || a.origin !== location.origin || !a.pathname.endsWith('/') || a.pathname.startsWith('/.haul/')) return;
    event.preventDefault();
    refresh(a.pathname, true);
  });
  addEventListener('popstate', () => refresh(location.pathname));

  if (folder) folder.onsubmit = async event => {
    event.preventDefault();
    const name = folder.elements.folder.value;
    const answer = await send('MKCOL', `${location.pathname}${encodeURIComponent(name)}/`);
    const why = answer.status === 201 ? '' : answer.status === 405 ? 'An entry has that name.' : answer.text.trim() || 'The server can’t be reached.';
    folder.elements.folder.setCustomValidity(why);
    folder.reportValidity();
    if (why) return;
    folder.reset();
    say(`Folder ${name} is made`);
    await refresh(location.pathname);
  };
  if (folder) folder.oninput = () => folder.elements.folder.setCustomValidity('');

  addEventListener('DOMContentLoaded', () => localTimes(document));
})();
