// Contrast of every visible text with what is behind it (WCAG 2.2, 1.4.3), as the body of a function.
const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
pen.canvas.width = pen.canvas.height = 1;
const rgba = (colour) => {
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, bottom, opacity = 1) => {
  const a = top[3] * opacity;
  return [0, 1, 2].map((k) => top[k] * a + bottom[k] * (1 - a)).concat(1);
};
const behind = (element) => {
  if (!element) return rgba(matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#ffffff");
  return over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement));
};
const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);
const luminance = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
  if (!text || !element.getClientRects().length || element.closest("script, noscript, title, [disabled]")) continue;
  const style = getComputedStyle(element), ground = behind(element);
  const ink = over(rgba(element.closest("svg") ? style.fill : style.color), ground, opacity(element));
  const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  found.push({ text: text.slice(0, 60), ratio: Math.round(100 * (light + 0.05) / (dark + 0.05)) / 100, large });
}
return found;
