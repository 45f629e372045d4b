// The list of a directory: times as this browser writes them, and the order that a person chooses.
const localTimes = where => {
  for (const t of [...where.querySelectorAll('time')].slice(0, 1000)) {
    const date = new Date(t.dateTime);
    if (!isNaN(date)) t.textContent = date.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  }
};

const { compare } = new Intl.Collator(undefined, { numeric: true });
const number = value => isNaN(value) ? -Infinity : value;
const columns = [
  { word: 'name', of: row => row.cells[0].textContent, compare },
  { word: 'size', of: row => number(parseInt(row.cells[1].dataset.bytes)), compare: (a, b) => a - b || 0 },
  { word: 'time', of: row => number(Date.parse($('time', row)?.dateTime)), compare: (a, b) => a - b || 0 },
];
// As the server lists them, until somebody chooses.
let order = null;
try { order = JSON.parse(localStorage.getItem('haul order')); } catch { /* Without a place for it, it holds for this page. */ }

// Directories stay before files, and the way up before all.
const sort = table => {
  const column = columns.find(column => column.word === order?.by);
  if (!column) return;
  const sign = order.isDown ? -1 : 1;
  const rows = [...table.tBodies[0].rows].filter(row => row.id !== 'up');
  const known = rows.map(row => ({ row, isFile: !$('a[href$="/"]', row), value: column.of(row) }));
  known.sort((a, b) => a.isFile - b.isFile || sign * column.compare(a.value, b.value));
  table.tBodies[0].append(...known.map(one => one.row));
  columns.forEach(({ word }, at) => {
    const cell = table.tHead.rows[0].cells[at];
    if (word === order.by) cell.ariaSort = order.isDown ? 'descending' : 'ascending'; else cell.removeAttribute('aria-sort');
  });
};

// Whatever the server has sent becomes the list of this page.
const arrange = () => {
  const table = $('#list table');
  if (!table) return;
  localTimes(table);
  columns.forEach(({ word }, at) => {
    const cell = table.tHead.rows[0].cells[at];
    const button = make('button', { type: 'button', className: 'quiet', textContent: cell.textContent });
    button.onclick = () => {
      order = { by: word, isDown: order?.by === word && !order.isDown };
      try { localStorage.setItem('haul order', JSON.stringify(order)); } catch { /* As above. */ }
      sort(table);
    };
    cell.replaceChildren(button);
  });
  sort(table);
};
addEventListener('DOMContentLoaded', arrange);
