// The table as a picture: a cell for each place, its colour the row's state, its level the time that is left.
import { blank } from "./blank.js";

const FIRST = 48; // "0": how Python counts in characters
const LEVELS = 60;
const HONEST = 0;
const FADE_MS = 500;
const GAP = 2;
const LARGEST = 26, SMALLEST = 5;

export class Cells {
  constructor(canvas, choose) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.cells = "";
    this.ghosts = new Map(); // who has just gone: place -> [state, when]
    this.chosen = -1;
    this.columns = 1;
    this.size = LARGEST;
    this.choose = choose;
    this.room = 0; // places that the grid is laid out for
    canvas.addEventListener("click", (event) => this.touched(event));
    canvas.addEventListener("keydown", (event) => this.pressed(event));
  }

  show(cells, now) {
    for (let place = 0; 3 * place < this.cells.length; place++) {
      const was = this.cells[3 * place];
      const is = cells[3 * place];
      if (was !== " " && (is === " " || is === undefined)) this.ghosts.set(place, [was, now]);
    }
    this.cells = cells;
  }

  get places() {
    return this.cells.length / 3;
  }

  there(place) {
    return place >= 0 && place < this.places && this.cells[3 * place] !== " ";
  }

  layOut(width, height) {
    while (this.room < this.places) this.room = Math.max(40, Math.ceil(this.room * 1.3));
    let size = LARGEST;
    while (size > SMALLEST && Math.floor(width / size) * Math.floor(height / size) < this.room) size -= 0.5;
    this.size = size;
    this.columns = Math.max(1, Math.floor(width / size));
  }

  draw(colours, now) {
    const { width, height } = blank(this.canvas);
    this.layOut(width, height);
    for (const [place, [state, since]] of this.ghosts) {
      const age = (now - since) / FADE_MS;
      if (age >= 1 || this.there(place)) this.ghosts.delete(place);
      else this.cell(place, colours.states[state.charCodeAt(0) - FIRST], 0, 0.25 * (1 - age));
    }
    for (let place = 0; place < this.places; place++) {
      if (!this.there(place)) continue;
      const [state, level, kind] = [0, 1, 2].map((at) => this.cells.charCodeAt(3 * place + at) - FIRST);
      this.cell(place, colours.states[state], level / LEVELS, 0.22);
      if (kind === HONEST) this.ring(place, colours.ink, 1.5);
    }
    if (this.there(this.chosen)) this.ring(this.chosen, colours.accent, 3);
  }

  cell(place, colour, level, faint) {
    const { context, size } = this;
    const side = size - GAP;
    const x = (place % this.columns) * size + GAP / 2, y = Math.floor(place / this.columns) * size + GAP / 2;
    context.fillStyle = colour;
    context.globalAlpha = faint;
    context.beginPath();
    context.roundRect(x, y, side, side, size / 8);
    context.fill();
    context.globalAlpha = 1;
    context.save();
    context.clip();
    context.fillRect(x, y + side * (1 - level), side, side * level);
    context.restore();
  }

  ring(place, colour, width) {
    const { context, size } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    const x = (place % this.columns) * size, y = Math.floor(place / this.columns) * size;
    context.strokeRect(x + width / 2, y + width / 2, size - width, size - width);
  }

  touched(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / this.size);
    const place = Math.floor((event.clientY - box.top) / this.size) * this.columns + column;
    if (column < this.columns && this.there(place)) this.take(place);
  }

  pressed(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (event.key === "Escape") this.take(-1);
    if (!step) return;
    event.preventDefault();
    let place = this.chosen + step;
    if (this.chosen < 0) place = step > 0 ? 0 : this.places - 1;
    const direction = Math.sign(step);
    while (place >= 0 && place < this.places && !this.there(place)) place += direction;
    if (this.there(place)) this.take(place);
  }

  take(place) {
    this.chosen = place;
    this.choose(place);
  }
}
