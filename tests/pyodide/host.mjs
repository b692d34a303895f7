// The host: Node's net and dgram move the bytes, and everything else is in WebAssembly.
//   node host.mjs serve PYODIDE ROOT PACKAGES      prints the ports, then what there was when stdin ends
//   node host.mjs test PYODIDE ROOT PACKAGES FILE...
import dgram from "node:dgram";
import net from "node:net";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [what, pyodidePath, root, packages, ...files] = process.argv.slice(2);
process.on("uncaughtException", (error) => { console.error(String(error).slice(0, 2000)); process.exit(1); });

const { loadPyodide } = await import(pathToFileURL(`${pyodidePath}/pyodide.mjs`));
const python = await loadPyodide();
for (const [place, folder] of [["/partway", root], ["/packages", packages], ["/tests", `${root}/tests`]]) {
  python.FS.mkdirTree(place);
  python.mountNodeFS(place, folder);
}
python.runPython(readFileSync(`${root}/tests/pyodide/guest.py`, "utf8"));
if (what === "test") process.exit(python.globals.get("test")(...files));

const outside = python.globals.get("Outside")();
const sockets = new Map(); // by number
const plain = (buffer) => new Uint8Array(buffer); // a Buffer would be taken for something else
let timer;

function pump() {
  clearTimeout(timer);
  const ready = [...sockets].filter(([, one]) => !one.socket.writableNeedDrain).map(([number]) => number);
  const told = outside.step(python.toPy(ready)).toJs();
  for (const [number, data, outcome] of told) {
    const { socket } = sockets.get(number);
    if (data.length) {
      socket.write(data);
      outside.host.sent(number, data.length);
    }
    if (outcome === "reset") drop(number, () => socket.resetAndDestroy());
    else if (outcome === "ended") drop(number, () => socket.end());
  }
  for (const [number, one] of sockets) if (one.rest) feed(number, one);
  for (const [data, address, port] of outside.letters().toJs()) letters.send(data, port, address);
  const left = told.length ? 0 : outside.sleep_ms();
  if (left >= 0) timer = setTimeout(pump, Math.min(left, 2 ** 31 - 1));
}

function drop(number, end) {
  end();
  sockets.delete(number);
  outside.host.forget(number);
}

function feed(number, one) {
  const taken = outside.feed(number, one.rest);
  one.rest = taken < one.rest.length ? one.rest.subarray(taken) : undefined;
  if (one.rest) one.socket.pause();
  else one.socket.resume();
}

const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  const number = outside.open(socket.remoteAddress, socket.remotePort);
  const one = { socket, rest: undefined };
  sockets.set(number, one);
  socket.on("data", (chunk) => {
    if (!sockets.has(number)) return;
    one.rest = plain(chunk);
    feed(number, one);
    pump();
  });
  socket.on("end", () => { if (sockets.has(number)) { outside.host.end(number); pump(); } });
  socket.on("drain", pump);
  socket.on("error", () => {});
  socket.on("close", (failed) => {
    if (!sockets.has(number)) return;
    sockets.delete(number);
    if (failed) outside.host.lost(number);
    else outside.host.forget(number);
    pump();
  });
  pump();
});
const letters = dgram.createSocket("udp4", (data, peer) => {
  outside.datagram(plain(data), peer.address, peer.port);
  pump();
});

letters.bind(0, "127.0.0.1", () => server.listen(0, "127.0.0.1", () => {
  console.log(`PORTS ${server.address().port} ${letters.address().port}`);
}));
process.stdin.on("end", () => {
  const totals = outside.reactor.totals();
  console.log(JSON.stringify({
    platform: python.runPython("sys.platform"),
    thread: python.globals.get("thread")(),
    accepted: totals.accepted,
    rows: totals.rows,
    turns: totals.turns,
  }));
  process.exit(0);
});
process.stdin.resume();
