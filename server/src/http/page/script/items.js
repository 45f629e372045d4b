// The files of this upload, and what is shown of each.

// Each: dir (address of the directory), path (below it), file (none: a directory), size, mtime, state, sent.
let items = [];
let small = [];
let big = [];
let asked = [];
let busy = 0;
let upload = 0;         // The number of this upload.
let reading = 0;        // Drops whose folders are still read.
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

const isActive = () => reading > 0 || total.count > total.done + total.failed + total.skipped;
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
  upload += 1;
  reading = 0;
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
