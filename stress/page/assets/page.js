// The page: what the worker tells is drawn, and what is chosen here it is told.
import { Cells } from "./cells.js";
import { Chart } from "./chart.js";

const ABOUT = { fair: "round robin: everybody in turn", shortest: "least left to send goes first" };
const CROWDS = {
  usual: {},
  calm: { downloads: 2, modems: 5, drips: 5, stuck: 1, silent: 5, honest: 4 },
  slow: { downloads: 0, modems: 150, drips: 150, stuck: 60, silent: 150, honest: 8 },
  rush: { downloads: 80, modems: 40, drips: 0, stuck: 0, silent: 0, honest: 12 },
};
const LINE = { name: "line", title: "the line, MB/s", about: "what the server can send", least: 1 };
const CHOOSE = "Choose a row, by the arrow keys or a touch, to see what the table knows of it.";

const byId = (id) => document.getElementById(id);
const worker = new Worker(`worker.js${location.search}`, { type: "module" });
const tables = [];
let legend, colours, paused = false, due = false;

function palette() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  colours = { states: legend.states.map(of), ink: of("ink"), soft: of("soft"), rule: of("rule"), accent: of("accent"), bad: of("bad") };
  redraw();
}

function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame((now) => {
    due = false;
    for (const table of tables) {
      table.cells.draw(colours, now);
      table.chart.draw(colours);
    }
    if (tables.some((table) => table.cells.ghosts.size)) redraw();
  });
}

const time = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
};
const size = (bytes) => {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
};
const guest = (kind) => legend.kinds[kind]?.short ?? "left already";

function build() {
  Object.assign(LINE, legend.line);
  legend.states = legend.states.map((state) => state.toLowerCase());
  for (const kind of legend.kinds) kind.short = kind.title.split(",")[0];
  for (const schedule of legend.schedules) {
    const section = byId("table").content.firstElementChild.cloneNode(true);
    const find = (name) => section.querySelector(name);
    section.setAttribute("aria-label", schedule);
    find("h2").textContent = schedule;
    find(".about").textContent = ABOUT[schedule];
    find(".asked").textContent = CHOOSE;
    for (const state of legend.states) {
      const item = document.createElement("li");
      item.style.setProperty("--colour", `var(--${state})`);
      find(".states").append(item);
    }
    if (matchMedia("(max-width: 52rem)").matches) find("details").open = false; // both tables on one screen
    const table = { section, find, schedule, items: [...section.querySelectorAll(".states li")] };
    table.cells = new Cells(find(".cells"), () => {
      worker.postMessage({ places: tables.map((one) => one.cells.chosen) });
      redraw();
    });
    table.chart = new Chart(find(".chart"));
    tables.push(table);
    byId("tables").append(section);
  }
  legend.kinds.forEach((kind, number) => slider({ ...kind, least: 0 }, (count) => ({ crowd: [number, count] })));
  slider(LINE, (megabytes) => ({ line: megabytes }));
  byId("loading").hidden = true;
  byId("controls").hidden = document.querySelector("footer").hidden = false;
  palette();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", palette);
}

function slider({ name, title, about, usual, most, least }, order) {
  const label = document.createElement("label");
  const shown = document.createElement("b");
  const input = document.createElement("input");
  label.title = `${title}: ${about}`;
  Object.assign(input, { type: "range", min: least, max: most, value: usual, name, id: `slide-${name}` });
  shown.textContent = usual;
  shown.ariaHidden = "true"; // the slider itself says it
  input.addEventListener("input", () => {
    shown.textContent = input.value;
    worker.postMessage(order(Number(input.value)));
  });
  label.append(shown, title, input);
  byId("sliders").append(label);
}

function take(crowd) {
  const usual = Object.fromEntries([...legend.kinds, LINE].map((kind) => [kind.name, kind.usual]));
  for (const [name, value] of Object.entries({ ...usual, ...CROWDS[crowd] })) {
    const input = byId(`slide-${name}`);
    if (Number(input.value) === value) continue;
    input.value = value;
    input.dispatchEvent(new Event("input"));
  }
}

function pause(yes) {
  paused = yes;
  byId("pause").textContent = paused ? "Go on" : "Pause";
  worker.postMessage({ paused });
}

function looked() {
  worker.postMessage({ unseen: document.hidden });
}

function turn() {
  if (!paused) pause(true);
  worker.postMessage({ turn: true });
}

function show(frame, pace) {
  frame.forEach((seen, number) => {
    const table = tables[number];
    table.cells.show(seen.cells, performance.now());
    table.chart.show(seen.visits, seen.now);
    if (seen.told) tell(table, seen.told, seen.now);
  });
  const slow = pace < 0.9 && !paused ? `, at ${pace.toFixed(1)} of real time` : "";
  byId("clock").textContent = `${frame[0].now.toFixed(1)} s${paused ? ", paused" : slow}`;
  redraw();
}

function tell(table, told, now) {
  table.chart.median(told.median);
  table.find(".median").textContent = time(told.median);
  table.find(".worst").textContent = time(told.worst);
  legend.states.forEach((state, number) => {
    const count = told.states[state.toUpperCase()] ?? 0;
    table.items[number].textContent = `${count} ${state}`;
    table.items[number].className = count ? "" : "none";
  });
  const gone = Object.entries(told.ended).map(([cause, count]) => `${count} ${cause}`).join(", ");
  const unserved = told.unserved ? ` ${told.unserved} honest visitors of the last 20 s went without.` : "";
  table.find(".ended").textContent = `${told.rows} rows, ${told.turns} turns, ${size(told.sent)} sent. Ended: ${gone || "none"}.${unserved}`;
  const words = `${told.rows} rows of the ${table.schedule} table`;
  table.find(".cells").setAttribute("aria-label", `${words}; arrow keys choose one`);
  table.find(".chart").setAttribute("aria-label", `honest visits: median ${time(told.median)}, one of a hundred ${time(told.worst)}`);
  list(table.find("tbody"), told.next);
  ask(table, told.asked);
}

function list(body, rows) {
  while (body.rows.length < rows.length) {
    const line = body.insertRow();
    for (let cell = 0; cell < 7; cell++) line.insertCell().className = cell > 3 ? "wide" : cell === 2 ? "state" : "";
  }
  [...body.rows].forEach((line, at) => {
    line.hidden = at >= rows.length;
    if (line.hidden) return;
    const row = rows[at];
    const words = [row.key, guest(row.kind), row.state.toLowerCase(), time(row.deadline_in), size(row.received ?? 0), size(row.sent ?? 0), row.machine];
    words.forEach((word, cell) => { line.cells[cell].textContent = word ?? ""; });
    line.cells[2].style.setProperty("--colour", `var(--${row.state.toLowerCase()})`);
  });
}

function ask(table, row) {
  const chosen = table.cells.chosen;
  let words = chosen < 0 ? CHOOSE : "That row has ended.";
  if (row && row.peer) {
    const left = row.deadline_in === null ? "no deadline" : `${time(row.deadline_in)} left`;
    words = `Row ${row.key}: ${row.state.toLowerCase()} for ${time(row.since)}, ${left}. A guest of the kind “${guest(row.kind)}”, from ${row.peer}, there since ${time(row.age)}. `
      + `Got ${size(row.received)}, sent ${size(row.sent)}, ${size(row.to_send)} in hand; asks the poller for ${{ r: "reading", w: "writing", e: "the end", "-": "nothing" }[row.interest] ?? row.interest}. ${row.machine}.`;
  }
  const line = table.find(".asked");
  if (!paused && line.dataset.place === String(chosen)) line.setAttribute("aria-live", "off"); // once is enough to hear
  else line.setAttribute("aria-live", "polite");
  line.dataset.place = chosen;
  if (line.textContent !== words) line.textContent = words;
}

/** Say why it is over. A table whose Python has raised is not drawn on as if nothing had been. */
function fail(words) {
  worker.terminate();
  byId("loading").hidden = byId("controls").hidden = true;
  byId("failed").hidden = false;
  byId("failed").textContent = `${legend ? "The tables have stopped" : "Python did not come up"}: ${words}`;
}

worker.onmessage = ({ data }) => {
  if (data.phase) byId("phase").textContent = data.phase;
  else if (data.failed) fail(data.failed);
  else if (data.legend) {
    legend = JSON.parse(data.legend);
    byId("clock").title = `seed ${data.seed}`;
    build();
  }
  else show(JSON.parse(data.frame), data.pace);
};
worker.onerror = (event) => fail(event.message || "its worker could not be loaded");

byId("pause").addEventListener("click", () => pause(!paused));
byId("turn").addEventListener("click", turn);
for (const button of document.querySelectorAll("[data-crowd]")) button.addEventListener("click", () => take(button.dataset.crowd));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("controls").hidden) return;
  if (event.key === "p") pause(!paused);
  else if (event.key === ".") turn();
});
addEventListener("resize", redraw);
document.addEventListener("visibilitychange", looked);
looked();
