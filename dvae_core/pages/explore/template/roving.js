// One tab stop for each group of buttons; within it the arrow keys move, as ARIA's practices have it.

function addRoving(run) {
  for (const group of run.root.querySelectorAll('[role="group"]')) rove(group);
}

function rove(group) {
  const buttons = () => [...group.querySelectorAll("button:not(:disabled)")];
  const stop = (chosen) => {
    for (const button of group.querySelectorAll("button")) button.tabIndex = button === chosen ? 0 : -1;
  };
  const settle = () => {
    const all = buttons();
    stop(all.find((button) => button.tabIndex === 0 && button.hasAttribute("tabindex")) ?? all[0]);
  };
  group.addEventListener("focusin", (event) => event.target.matches("button") && stop(event.target));
  group.addEventListener("keydown", (event) => {
    if (!event.target.matches("button") || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = neighbour(event.target, event.key, buttons());
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  new MutationObserver(settle).observe(group, { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] });
  settle();
}

// Where a key leads: along the row or the group; up and down in the columns of a table.
function neighbour(button, key, all) {
  const ends = { Home: all[0], End: all.at(-1) };
  if (key in ends) return ends[key];
  const way = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[key];
  if (!way) return null;
  const cell = button.closest("td");
  if (!cell || key === "ArrowRight" || key === "ArrowLeft") return all[all.indexOf(button) + way];
  for (let row = cell.parentElement; row;) {
    row = way > 0 ? row.nextElementSibling : row.previousElementSibling;
    const found = row?.cells[cell.cellIndex]?.querySelector("button");
    if (found) return found;
  }
  return null;
}
