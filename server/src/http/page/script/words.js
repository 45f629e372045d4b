// Words for people and for addresses, and making elements. All names are put in as text (textContent).
const $ = (what, where = document) => where.querySelector(what);
const make = (tag, facts = {}, ...inside) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
};

const bytes = n => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (n >= 1000 && unit < 4) { n /= 1024; unit += 1; }
  return `${unit ? n.toFixed(n < 10 ? 1 : 0) : n} ${units[unit]}`;
};
const time = s => s < 60 ? `${Math.max(1, Math.round(s))} s`
  : s < 3600 ? `${Math.round(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min`;
const files = n => n === 1 ? '1 file' : `${n} files`;
const encode = path => path.split('/').map(encodeURIComponent).join('/');
const base64 = text => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
