// Progress, and pause, another try and the end of an upload.
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
    const count = reading ? `${files(total.count)} found so far` : files(total.count);
    what.textContent = !total.count ? 'Reading the folder…' : isPaused ? `Paused at ${done} of ${count}` : `Uploading ${done} of ${count}`;
    detail.textContent = `${bytes(sent)} of ${bytes(total.bytes)}${speed > 0 && !isPaused ? `, ${bytes(Math.round(speed))}/s` : ''}`;
    // Many small files take as long as their number, large ones as their bytes.
    const eta = Math.max(speed > 0 ? (total.bytes - sent) / speed : rate > 0 ? 0 : Infinity, rate > 0 && total.count - done > 50 ? (total.count - done) / rate : 0);
    left.textContent = isPaused || isLostNow || reading || seconds < 2 || !isFinite(eta) ? '' : `about ${time(eta)} left`;
    if (isLostNow) {
      trouble.textContent = `The connection is lost. It is tried again in ${time((waits - now) / 1000)}.`;
      trouble.hidden = false;
    } else if (!isPaused) trouble.hidden = true;
    const part = Math.floor(4 * all.value / all.max);
    if (!reading && part > said && part < 4) { said = part; say(`${part * 25} percent uploaded`); }
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
