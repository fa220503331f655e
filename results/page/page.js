"use strict";
(() => {
  const data = JSON.parse(document.getElementById("episode-data").textContent);
  const at = Object.fromEntries(data.columns.map((name, k) => [name, k]));
  const byId = (id) => document.getElementById(id);
  const form = byId("filters"), list = byId("list"), head = list.querySelector("thead"), body = list.querySelector("tbody");
  const inputs = { run: byId("by-run"), task: byId("by-task"), outcome: byId("by-outcome"), reason: byId("by-reason"), text: byId("by-text") };
  const STEP = 200, FIRST = matchMedia("(max-width:640px)").matches ? 20 : 50, SHAPES = ["●", "■", "▲", "◆", "✚"], COLOURS = 6;
  const SIGNS = ["✓ ", "✗ ", "! "];
  let shown = FIRST, order = null, ascending = true;

  // Everything a record says goes into the page as text, never as markup.
  const make = (tag, text, className) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    return node;
  };
  const reasonOf = (row) => (row[at.reason] < 0 ? "" : row[at.text] || data.reasons[row[at.reason]]);
  const msText = (ms) => (ms === null ? "–" : ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(3));

  // Episodes that some policies solve and others do not.
  const wonBy = new Map();
  for (const row of data.rows) {
    const key = row[at.id], won = row[at.outcome] === 0;
    wonBy.set(key, (wonBy.get(key) || 0) | (won ? 1 : 2));
  }
  const haystacks = data.rows.map((row) => `${data.runs[row[at.run]].label} ${row[at.id]} ${row[at.seed]} ${reasonOf(row)}`.toLowerCase());

  const columns = [
    ["policy", (row) => data.runs[row[at.run]].label],
    ["task", (row) => data.tasks[row[at.task]].replaceAll("_", " "), "task"],
    ["variation", (row) => row[at.variation], "num minor"],
    ["seed", (row) => row[at.seed], "num minor"],
    ["outcome", (row) => data.outcomes[row[at.outcome]]],
    ["reason", reasonOf, "minor"],
    ["steps", (row) => row[at.steps], "num"],
    ["p50 ms", (row) => row[at.p50], "num minor"],
  ];

  function chosen() {
    const wanted = (name) => (inputs[name].value === "" ? null : Number(inputs[name].value));
    const [run, task, outcome, reason] = ["run", "task", "outcome", "reason"].map(wanted);
    const words = inputs.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    data.rows.forEach((row, k) => {
      if (run !== null && row[at.run] !== run) return;
      if (task !== null && row[at.task] !== task) return;
      if (outcome === data.outcomes.length ? wonBy.get(row[at.id]) !== 3 : outcome !== null && row[at.outcome] !== outcome) return;
      if (reason !== null && row[at.reason] !== reason) return;
      if (words.some((word) => !haystacks[k].includes(word))) return;
      found.push(row);
    });
    if (order !== null) {
      const value = columns[order][1], sign = ascending ? 1 : -1;
      found.sort((one, other) => {
        const a = value(one), b = value(other);
        if (a === b) return 0;
        if (a === null || b === null) return a === null ? 1 : -1;
        return a < b ? -sign : sign;
      });
    }
    return found;
  }

  const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

  async function copy(text, button) {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", text);
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    button.textContent = done ? "copied" : "select and copy by hand";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }

  function detail(row) {
    const facts = make("dl");
    const fact = (name, ...content) => {
      const value = make("dd");
      value.append(...content);
      facts.append(make("dt", name), value);
    };
    fact("episode", make("code", row[at.id]));
    if (reasonOf(row)) fact(data.outcomes[row[at.outcome]], reasonOf(row));
    fact("actions", `${row[at.steps]}, in ${row[at.wall]} s; median time of a call ${msText(row[at.p50])} ms`);
    if (data.outcomes[row[at.outcome]] === "error") {
      fact("replay", "an episode that ended in an error cannot be replayed: its actions are not all there");
    } else if (!data.runs[row[at.run]].replay) {
      fact("replay", `played with a latency: python -m envs.run with the same policy and --latency trace:${data.runs[row[at.run]].path} plays the run again`);
    } else {
      const command = `${data.runs[row[at.run]].replay} ${quoted(row[at.id])}`, button = make("button", "copy");
      button.type = "button";
      button.addEventListener("click", () => copy(command, button));
      fact("replay", make("code", command), button);
    }
    const inner = make("div");
    inner.append(facts);
    if (row[at.video]) {
      const video = make("video");
      Object.assign(video, { controls: true, preload: "metadata", src: row[at.video] });
      video.setAttribute("aria-label", `video of ${row[at.id]}`);
      inner.append(video);
    }
    const cell = make("td");
    cell.colSpan = columns.length + 1;
    cell.append(inner);
    const line = make("tr", undefined, "detail");
    line.append(cell);
    return line;
  }

  function toggle(line, row, button) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    button.textContent = open ? "▸" : "▾";
    if (open) line.nextSibling.remove();
    else line.after(detail(row));
  }

  function rowOf(row) {
    const line = make("tr"), button = make("button", "▸", "open"), first = make("td");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", `${row[at.id]}: replay command${row[at.video] ? " and video" : ""}`);
    first.append(button);
    line.append(first);
    columns.forEach(([name, value, className]) => {
      const found = value(row);
      const shownAs = name === "p50 ms" ? msText(found) : name === "reason" ? data.reasons[row[at.reason]] || "" : found;
      const cell = make("td", shownAs, className);
      if (name === "policy") cell.prepend(make("span", SHAPES[row[at.run] % SHAPES.length], `shape c${row[at.run] % COLOURS}`));
      if (name === "outcome") cell.prepend(SIGNS[row[at.outcome]]);
      if (name === "outcome") cell.className = found;
      if (name === "outcome" && row[at.video]) cell.append(make("span", " · video", "quiet"));
      line.append(cell);
    });
    line.addEventListener("click", (event) => {
      if (event.target === button || !String(getSelection())) toggle(line, row, button);
    });
    return line;
  }

  function show() {
    const found = chosen(), lines = document.createDocumentFragment();
    for (const row of found.slice(0, shown)) lines.append(rowOf(row));
    body.replaceChildren(lines);
    const part = Math.min(shown, found.length);
    const won = found.filter((row) => row[at.outcome] === 0).length;
    byId("count").textContent = `${found.length} of ${data.rows.length} episodes, ${won} of them solved` + (part < found.length ? `; the first ${part} are shown` : "");
    byId("further").hidden = part === found.length;
  }

  function again() {
    shown = FIRST;
    show();
  }

  const titles = make("tr");
  const corner = make("td");
  titles.append(corner);
  columns.forEach(([name, , className], k) => {
    const cell = make("th", undefined, className), button = make("button", name);
    cell.scope = "col";
    button.type = "button";
    button.addEventListener("click", () => {
      ascending = order === k ? !ascending : true;
      order = k;
      titles.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      titles.querySelectorAll("button").forEach((other, m) => { other.textContent = columns[m][0]; });
      cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      button.textContent = `${name} ${ascending ? "↑" : "↓"}`;
      again();
    });
    cell.append(button);
    titles.append(cell);
  });
  head.append(titles);

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(again));
  form.addEventListener("input", again);
  byId("more").addEventListener("click", () => { shown += STEP; show(); });
  document.querySelectorAll("a[data-reason]").forEach((link) => link.addEventListener("click", () => {
    form.reset();
    inputs.run.value = link.dataset.run;
    inputs.reason.value = link.dataset.reason;
    again();
  }));
  form.hidden = list.hidden = false;
  show();
})();
