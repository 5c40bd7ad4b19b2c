// Class colours on light and on dark ground.

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const css = ([r, g, b], alpha = 1) => `rgb(${r | 0} ${g | 0} ${b | 0} / ${alpha})`;
const mix = (one, other, t) => one.map((v, i) => v + (other[i] - v) * t);

function luminance(colour) {
  const [r, g, b] = colour.map((v) => {
    const s = v / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

// The nearest shade of a colour that stands out from a ground.
function readable(colour, ground, wanted) {
  const away = luminance(ground) > 0.2 ? [0, 0, 0] : [255, 255, 255];
  for (let t = 0; t < 1; t += 0.05) {
    const shade = mix(colour, away, t);
    if (contrast(shade, ground) >= wanted) return shade;
  }
  return away;
}

// The better of the two has a contrast of 4.5 at least, whatever the colour.
const inkOn = (colour) => (contrast(colour, [0, 0, 0]) > contrast(colour, [255, 255, 255]) ? "#000" : "#fff");

// What the page's theme says: colours of the style sheet, and each class's shades.
function readTheme(root, hexes) {
  const style = getComputedStyle(root);
  const variable = (name) => style.getPropertyValue(name).trim();
  const ground = rgb(variable("--plane"));
  const colours = hexes.map(rgb);
  const dark = luminance(ground) < 0.2;
  return {
    ground, beyond: variable("--page"), ink: variable("--ink"), quiet: variable("--quiet"), hatch: variable("--hatch"),
    border: variable("--border-line"), halo: variable("--plane"), accent: variable("--accent"),
    point: colours.map((c) => readable(c, ground, dark ? 3.6 : 2.2)),
    area: colours.map((c) => mix(ground, readable(c, ground, dark ? 2.6 : 1.6), dark ? 0.5 : 0.34)),
  };
}
