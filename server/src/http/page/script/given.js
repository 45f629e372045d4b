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
// Nothing, if it can't be read.
const fileOf = entry => new Promise(resolve => entry.file(resolve, () => resolve()));
const unreadable = (path, dir) => {
  const item = { dir, path, file: null, size: 0, state: 'fail', sent: 0 };
  items.push(item);
  total.count += 1;
  fail(item, 'it can’t be read');
};
// Goes on until Cancel begins another upload. What is found is sent while the rest is read.
const walk = async (entry, file, above, dir, mine) => {
  const path = above + entry.name;
  if (entry.isFile) {
    const known = await file;
    if (mine !== upload) return;
    return known ? add(path, known, dir) : unreadable(path, dir);
  }
  try {
    const entries = await entriesOf(entry);
    if (mine !== upload) return;
    if (!entries.length) add(path, null, dir);
    // The browser asks another process for each file, so all files of a directory are asked for at once.
    const found = entries.map(inside => inside.isFile && fileOf(inside));
    for (const [at, inside] of entries.entries()) {
      await walk(inside, found[at], `${path}/`, dir, mine);
      if (mine !== upload) return;
      if (small.length >= ROWS_TO_BEGIN || big.length) pump();
    }
  } catch {
    if (mine === upload) unreadable(path, dir);
  }
};

const take = async (list, dir) => {
  if (!isActive() && items.length) reset();
  const before = items.length;
  const mine = upload;
  work.hidden = false;
  reading += 1;
  draw();
  for (const one of list) {
    if (one instanceof File) add(one.webkitRelativePath || one.name, one, dir);
    else await walk(one, one.isFile && fileOf(one), '', dir, mine);
    if (mine !== upload) return;
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
