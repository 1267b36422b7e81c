"""What a page looks like, asked in the page itself: is something too wide, can every text be read?"""

WIDER = """
const isHidden = (e) => e.closest('.visually-hidden, thead, .icons');
const most = document.documentElement.clientWidth + 1;
const isWide = (e) => e.checkVisibility() && !isHidden(e) && e.getBoundingClientRect().right > most;
const wide = [...document.querySelectorAll('body *')].filter(isWide);
const isScrolled = document.documentElement.scrollWidth > document.documentElement.clientWidth;
return [...wide.map((e) => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`), ...(isScrolled ? ['the page'] : [])];
"""
"""What is wider than the window."""

CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const linear = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const behind = (e) => {
  const stack = [];
  for (; e; e = e.parentElement) stack.unshift(rgba(getComputedStyle(e).backgroundColor));
  return stack.reduce((colour, top) => over(top, colour), [255, 255, 255]);
};
const isAside = (e) => e.closest('.visually-hidden, .skip, :disabled, option, template, .new');
const bad = [];
for (const e of document.querySelectorAll('body *')) {
  const hasText = [...e.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (!hasText || !e.checkVisibility({ visibilityProperty: true }) || isAside(e)) continue;
  const back = behind(e);
  const [a, b] = [light(over(rgba(getComputedStyle(e).color), back)), light(back)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) bad.push([e.textContent.trim().slice(0, 40), e.className, ratio.toFixed(2)]);
}
return bad;
"""
"""Texts whose contrast to what is behind them is below 4.5 to 1 (WCAG 2.2, 1.4.3)."""
