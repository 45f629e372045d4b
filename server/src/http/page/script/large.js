// Large files: tus, if the server has it.
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
