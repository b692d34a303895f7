// Python, beside the page: it moves both tables some times a second, and says what can be seen.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const TICK_MS = 33;
const SPEND = 0.028; // seconds of each tick that the tables may take
const PASS_MOST = 0.1; // seconds at once, where a browser has let us sleep

let pair;
let paused = false;
let unseen = false; // in a tab that nobody looks at no time passes
let places = [-1, -1];
let pace = 1;
let before = 0;

function look(always) {
  postMessage({ frame: pair.look(places, always), pace });
}

function tick() {
  const now = performance.now();
  const passed = Math.min((now - before) / 1000, PASS_MOST);
  before = now;
  if (!paused && !unseen && passed > 0) {
    const done = pair.advance(passed, SPEND);
    pace += (done / passed - pace) * 0.05;
    look(false);
  }
  setTimeout(tick, Math.max(0, TICK_MS - (performance.now() - now)));
}

const orders = {
  crowd: ([number, count]) => pair.crowd(number, count),
  line: (megabytes) => pair.line(megabytes),
  paused: (yes) => { paused = yes; },
  unseen: (yes) => { unseen = yes; },
  turn: () => { pair.turn(); },
  places: (both) => { places = both; },
};

// What Python raises is caught by nobody here: the page hears of it as an error of its worker.
onmessage = ({ data }) => {
  for (const [name, argument] of Object.entries(data)) orders[name](argument);
  if (pair && (paused || data.places)) look(true);
};

async function begin() {
  const seed = Number(new URL(location).searchParams.get("seed")) || 1;
  const archive = fetch("partway.zip").then((answer) => answer.arrayBuffer());
  const python = await loadPyodide();
  postMessage({ phase: "The server is being unpacked" });
  python.unpackArchive(await archive, "zip", { extractDir: "/server" });
  python.runPython("import sys; sys.path.insert(0, '/server')");
  const module = python.pyimport("partway.stress.page.pair");
  pair = module.Pair(seed);
  postMessage({ legend: module.Pair.legend(), seed });
  before = performance.now();
  look(true);
  tick();
}

begin().catch((error) => postMessage({ failed: String(error) }));
