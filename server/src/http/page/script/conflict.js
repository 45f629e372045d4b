// Entries that have the name of a file already: the choice is asked for once.
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
// Escape replaces nothing: all of them are skipped.
dialog.oncancel = () => { dialog.returnValue = ''; };
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
  if (dialog.open) return;
  dialog.returnValue = '';
  dialog.showModal();
};
