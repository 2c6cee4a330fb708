'use strict';
// The handlers that gnuplot's drawings call: exact values under the pointer. The page is complete without.
const gnuplot_svg = (() => {
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
  document.body.append(tip);
  return {
    showHypertext(event, text) {
      tip.textContent = text;
      tip.hidden = false;
      const x = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
      const y = event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 16;
      tip.style.left = Math.max(4, x) + 'px';
      tip.style.top = Math.max(4, y) + 'px';
    },
    hideHypertext() { tip.hidden = true; },
  };
})();
// On paper nothing can be opened: print what is folded, too.
addEventListener('beforeprint', () => {
  for (const folded of document.querySelectorAll('details:not([open])')) {
    folded.open = true;
    folded.dataset.wasFolded = '';
  }
});
addEventListener('afterprint', () => {
  for (const opened of document.querySelectorAll('details[data-was-folded]')) {
    opened.open = false;
    delete opened.dataset.wasFolded;
  }
});
