(() => {
  const box = document.querySelector('.search'), input = box.querySelector('input'), none = document.querySelector('.none');
  const parts = [...document.querySelectorAll('.method')].map(e => [e, e.textContent.toLowerCase()]);
  const services = [...document.querySelectorAll('.service')], types = document.querySelectorAll('.types, .type');
  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const [e, text] of parts) found += !(e.hidden = !words.every(w => text.includes(w)));
    for (const s of services) s.hidden = !s.querySelector('.method:not([hidden])');
    for (const t of types) t.hidden = words.length > 0;
    none.hidden = found > 0 || parts.length === 0;
  };
  box.hidden = false;
  if (navigator.clipboard) for (const pre of document.querySelectorAll('details pre')) {
    const copy = document.createElement('button');
    copy.type = 'button';
    copy.className = 'copy';
    copy.textContent = 'Copy';
    copy.addEventListener('click', () => navigator.clipboard.writeText(pre.textContent).then(() => 'Copied', () => 'Not copied').then(said => {
      copy.textContent = said;
      setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
    }));
    pre.before(copy);
  }
  input.addEventListener('input', search);
  addEventListener('hashchange', () => { if (input.value) { input.value = ''; search(); document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView(); } });
  addEventListener('keydown', e => {
    if (e.key === '/' && !e.ctrlKey && !e.metaKey && !e.altKey && e.target !== input) { e.preventDefault(); input.focus(); }
  });
})();
