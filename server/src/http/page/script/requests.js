// Requests, and what becomes of files whose request has failed.
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
