// The metrics over the epochs, and the share of direct paths between every two classes.

function fillMetrics(card, metrics, epoch) {
  const at = Math.max(0, metrics.epochs.findLastIndex((e) => e <= epoch));
  if (!metrics.rows.length) {
    card.hidden = true;
    return;
  }
  card.querySelector(".first-epoch").textContent = `epoch ${metrics.epochs[0]}`;
  card.querySelector(".this-epoch").textContent = `epoch ${metrics.epochs[at]}`;
  card.querySelector("tbody").replaceChildren(...metrics.names.map((name, column) => {
    const values = metrics.rows.map((row) => row[column]);
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = shortened(name, 26) + ({ higher: " ↑", lower: " ↓" }[metrics.better[column]] ?? "");
    head.title = [name, metrics.means[column]].filter(Boolean).join(": ");
    const line = document.createElement("td");
    line.append(sparkline(values, at));
    const cells = [values[0], values[at]].map((value) => {
      const cell = document.createElement("td");
      cell.className = "number";
      cell.textContent = value === null ? "–" : figure(value);
      return cell;
    });
    cells[1].classList.add("strong");
    row.append(head, cells[1], line, cells[0]);
    return row;
  }));
}

// What each figure means, in its component's own words.
function explainMetrics(card, { names, means, better }) {
  const known = names.map((_, i) => i).filter((i) => means[i]);
  card.querySelector(".meanings").hidden = !known.length;
  card.querySelector(".meanings dl").replaceChildren(...known.flatMap((i) => {
    const [name, text] = [document.createElement("dt"), document.createElement("dd")];
    name.textContent = names[i];
    text.textContent = means[i] + (better[i] ? `; ${better[i]} is better` : "");
    return [name, text];
  }));
}

const figure = (value) => (Math.abs(value) >= 10 ? value.toFixed(2) : value.toFixed(3));

function sparkline(values, at) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 90 22");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  const known = values.filter((v) => v !== null);
  const low = Math.min(...known), high = Math.max(...known);
  const x = (i) => 4 + (values.length > 1 ? i / (values.length - 1) : 0.5) * 82;
  const y = (v) => 18 - (high > low ? (v - low) / (high - low) : 0.5) * 14;
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", values.map((v, i) => (v === null ? "" : `${x(i)},${y(v)}`)).join(" "));
  svg.append(line);
  if (values[at] !== null) {
    const dot = document.createElementNS(SVG, "circle");
    for (const [key, value] of Object.entries({ cx: x(at), cy: y(values[at]), r: 2.6 })) dot.setAttribute(key, value);
    svg.append(dot);
  }
  return svg;
}

// Of the epoch that all else is of, or of an earlier one that has its shares along.
function fillMatrix(card, run, past = null) {
  const { classes, pairs, epoch } = run.facts;
  const paths = past ? past.direct && { direct: past.direct } : run.facts.paths;
  card.querySelector(".of-epoch").textContent = past ? `, epoch ${past.epoch}` : "";
  if (!run.facts.paths || classes.length < 2) return;
  if (!paths) {
    card.querySelector(".of-epoch").textContent = `, epoch ${epoch}`;
    return;
  }
  card.hidden = false;
  const table = card.querySelector("table");
  const heading = (text, scope) => {
    const cell = document.createElement("th");
    cell.scope = scope;
    cell.textContent = shortened(text, 9);
    cell.title = text;
    return cell;
  };
  const top = document.createElement("tr");
  top.append(document.createElement("td"), ...classes.map((name) => heading(name, "col")));
  const head = document.createElement("thead");
  head.append(top);
  const body = document.createElement("tbody");
  classes.forEach((name, a) => {
    const row = document.createElement("tr");
    row.append(heading(name, "row"), ...classes.map((other, b) => {
      const cell = document.createElement("td");
      const share = paths.direct[a][b];
      if (share === null) return cell;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = Math.round(100 * share);
      button.setAttribute("aria-label", `${name} to ${other}: ${percent(share)} direct${past ? `, epoch ${past.epoch}` : ""}; morph along one`);
      const colour = cividis(share);
      button.style.background = css(colour);
      button.style.color = inkOn(colour);
      if (pairs.some((pair) => pair.includes(a) && pair.includes(b))) button.className = "named";
      button.addEventListener("click", () => run.between(a, b));
      cell.append(button);
      return cell;
    }));
    body.append(row);
  });
  table.replaceChildren(head, body);
}

// Cividis (Nuñez, Anderton and Renslow, 2018) at five places, which suits all eyes.
function cividis(t) {
  const stops = [[0, 34, 78], [64, 77, 107], [124, 123, 120], [186, 174, 111], [254, 232, 56]];
  const i = Math.min(3, Math.floor(4 * t));
  return mix(stops[i], stops[i + 1], 4 * t - i);
}
