'use strict';

// ---- theme: the system's, until another is chosen
const theme = document.getElementById('theme');

function stored(value) {
  try { // some browsers keep nothing for files
    if (value) localStorage.setItem('mmvitkd-theme', value);
    return localStorage.getItem('mmvitkd-theme');
  } catch {
    return null;
  }
}

function paint() {
  if (theme.value === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}

theme.value = stored() || 'auto';
theme.addEventListener('change', () => { stored(theme.value); paint(); });
paint();

// ---- what is wider than the screen says so
const wide = [...document.querySelectorAll('.scroll, .card')];

function hint() {
  for (const box of wide) {
    // what is hidden has no width
    box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth;
  }
}

window.addEventListener('resize', hint);
document.addEventListener('toggle', hint, true); // of details, which does not bubble

// ---- tabs, by mouse, arrow keys, Home and End
const tabs = [...document.querySelectorAll('[role=tab]')];

function select(chosen, focus) {
  for (const tab of tabs) {
    const own = tab === chosen;
    tab.setAttribute('aria-selected', own);
    tab.tabIndex = own ? 0 : -1;
    document.getElementById(tab.getAttribute('aria-controls')).hidden = !own;
  }
  hint();
  if (focus) chosen.focus();
}

function named() {
  return tabs.find(tab => '#' + tab.getAttribute('aria-controls') === location.hash);
}

tabs.forEach((tab, place) => {
  const panel = document.getElementById(tab.getAttribute('aria-controls'));
  panel.setAttribute('role', 'tabpanel');
  panel.tabIndex = 0;
  tab.addEventListener('click', () => {
    select(tab);
    history.replaceState(null, '', '#' + panel.id);
  });
  tab.addEventListener('keydown', event => {
    const places = {
      ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: tabs.length - 1,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    const next = tabs[(places[event.key] + tabs.length) % tabs.length];
    next.click();
    next.focus();
  });
});
window.addEventListener('hashchange', () => named() && select(named()));
select(named() || tabs[0]);

// ---- tables: a heading's button sorts by its column, empty cells last
function compare(one, other, numeric) {
  if (one === '' || other === '') return (one === '') - (other === '');
  return numeric ? one - other : one.localeCompare(other, 'en', { numeric: true });
}

for (const table of document.querySelectorAll('table')) {
  const headings = [...table.querySelectorAll('thead th')];
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener('click', () => {
      const numeric = heading.classList.contains('number');
      const before = heading.getAttribute('aria-sort');
      // of numbers, the largest is mostly what is looked for
      const first = numeric ? 'descending' : 'ascending';
      const second = numeric ? 'ascending' : 'descending';
      const order = before === first ? second : first;
      for (const other of headings) other.setAttribute('aria-sort', 'none');
      heading.setAttribute('aria-sort', order);
      const sign = order === 'ascending' ? 1 : -1;
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => {
        const keys = [a, b].map(row => row.cells[column].dataset.key);
        const empty = keys.includes('');
        return (empty ? 1 : sign) * compare(...keys, numeric);
      });
      body.append(...rows);
    });
  });
}
