// Directories: opened without leaving the page, looked at again after an upload, and made.
const refresh = async (path, push) => {
  let text;
  try {
    const answer = await fetch(path, { headers: { Accept: 'text/html' } });
    if (!answer.ok) return;
    text = await answer.text();
  } catch { return; }
  if (!push && path !== location.pathname) return;
  const page = new DOMParser().parseFromString(text, 'text/html');
  const focused = document.activeElement?.closest('#list') && document.activeElement;
  const [href, column] = [focused?.getAttribute('href'), focused?.closest('th')?.cellIndex];
  for (const part of ['h1', 'nav', '#list']) {
    const [mine, other] = [$(part), $(part, page)];
    if (mine && other) mine.replaceWith(document.adoptNode(other));
  }
  arrange();
  document.title = page.title;
  if (push) { history.pushState({}, '', path); scrollTo(0, 0); }
  if (href) [...document.querySelectorAll('#list a')].find(a => a.getAttribute('href') === href)?.focus();
  if (column >= 0) document.querySelectorAll('#list th button')[column]?.focus();
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
