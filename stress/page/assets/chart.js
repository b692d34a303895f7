// How long the honest have waited: a point for each visit, on a logarithmic scale, and the median through them.
import { blank } from "./blank.js";

const SECONDS = 20;
const LEAST = 0.03, MOST = 10; // seconds; what is beyond stands at the edge
const LINES = [[0.1, "100 ms"], [1, "1 s"], [5, "5 s"]];
const LEFT = 50;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.visits = [];
    this.medians = [];
    this.now = 0;
  }

  show(visits, now) {
    this.now = now;
    this.visits.push(...visits);
    while (this.visits.length && this.visits[0][0] < now - SECONDS) this.visits.shift();
    while (this.medians.length && this.medians[0][0] < now - SECONDS) this.medians.shift();
  }

  median(seconds) {
    if (seconds !== null) this.medians.push([this.now, Math.min(MOST, Math.max(LEAST, seconds))]);
  }

  draw(colours) {
    const { context, width, height } = blank(this.canvas);
    const x = (at) => LEFT + (width - LEFT) * (1 - (this.now - at) / SECONDS);
    const y = (seconds) => height * (1 - Math.log(seconds / LEAST) / Math.log(MOST / LEAST));
    context.font = `12px ${getComputedStyle(this.canvas).fontFamily}`;
    context.textBaseline = "middle";
    for (const [seconds, name] of LINES) {
      context.fillStyle = colours.soft;
      context.fillText(name, 0, y(seconds));
      context.fillStyle = colours.rule;
      context.fillRect(LEFT, Math.round(y(seconds)), width - LEFT, 1);
    }
    for (const [at, seconds, satisfied] of this.visits) {
      const [px, py] = [x(at), y(Math.min(MOST, Math.max(LEAST, seconds)))];
      if (px < LEFT) continue;
      context.fillStyle = satisfied ? colours.ink : colours.bad;
      context.globalAlpha = satisfied ? 0.55 : 1;
      context.beginPath();
      context.arc(px, Math.min(height - 3, Math.max(3, py)), satisfied ? 2.2 : 3.2, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    context.strokeStyle = colours.accent;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    for (const [at, seconds] of this.medians) context.lineTo(Math.max(LEFT, x(at)), y(seconds));
    context.stroke();
  }
}
