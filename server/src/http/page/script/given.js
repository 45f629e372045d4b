// Files and folders that are given to the page: dropped, chosen or pasted.
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
  reading += 1;
  for (const one of list) {
    if (one instanceof File) add(one.webkitRelativePath || one.name, one, dir);
    else await walk(one, '', dir);
  }
  reading -= 1;
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
