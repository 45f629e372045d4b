// The form of the page becomes the place onto which files and folders are dropped, with the controls of an upload.
const form = $('#upload');
const folder = $('#folder');
const isDrop = document.body.dataset.view === 'drop';

// Files over this size go one by one, in pieces that can be gone on with; all others go many in one request.
const BIG = 8 << 20;
const MOST_ROWS = 2000;
const ROWS_TO_BEGIN = 200;
const AT_ONCE = 2;
const SECONDS_OF_A_PIECE = 2;

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
