"use strict";
// The live page: one WebSocket brings frames with their boxes; each is drawn, then acknowledged.

const $ = (id) => document.getElementById(id);
const stage = $("stage"), picture = $("picture"), boxes = $("boxes");
const paper = picture.getContext("2d", { alpha: false }), pen = boxes.getContext("2d");
const MINUTES = 120; // seconds of the charts
const KEEP = 20; // seconds that a class stays among the chips after it was seen

let labels = [], settings = { confidence: 0.2, classes: [], paused: false, zones: [] };
let frame = null, shown = true, socket = null, tries = 0, timer = 0, full = false;
let lastEvent = -1, counts = {}, stats = {};
const seen = new Map(); // class name -> when it was last in the picture

// ---- words and colours

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
const nameOf = (number) => labels[number] || `class ${number}`;
const many = (n, word) => `${n} ${word}${n === 1 || word.endsWith("s") ? "" : "s"}`;

// the same colour as in annotated pictures: neighbours differ by the golden angle
const tints = new Map();
function tintOf(number) {
  if (!tints.has(number)) {
    const hue = (Math.floor(number * 0.618034 * 180) % 180) * 2, low = 255 - 200;
    const channel = (n) => {
      const k = (n + hue / 60) % 6;
      return Math.round(255 - (255 - low) * Math.max(0, Math.min(k, 4 - k, 1)));
    };
    const rgb = [channel(5), channel(3), channel(1)];
    const [r, g, b] = rgb.map((value) => (value / 255) ** 2.2);
    const light = 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179;
    tints.set(number, { fill: `rgb(${rgb})`, ink: light ? "#000" : "#fff" });
  }
  return tints.get(number);
}

let toastTimer = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").dataset.show = "";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => delete $("toast").dataset.show, 3500);
}

// ---- the picture

async function take(buffer) {
  const size = new DataView(buffer).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const source = socket;
  try {
    const data = new Uint8Array(buffer, 4 + size); // none where no picture may be seen
    const bitmap = data.length && await createImageBitmap(new Blob([data], { type: "image/jpeg" }));
    show(head, bitmap);
    if (bitmap) bitmap.close();
  } finally {
    if (source && source.readyState === WebSocket.OPEN) source.send("a");
  }
}

function show(head, bitmap) {
  if (picture.width !== head.w || picture.height !== head.h) {
    picture.width = head.w;
    picture.height = head.h;
  }
  if (bitmap) paper.drawImage(bitmap, 0, 0);
  frame = head;
  counts = head.counts;
  const now = performance.now();
  for (const name of Object.keys(counts)) seen.set(name, now);
  $("waiting").hidden = true;
  stage.dataset.seq = head.seq;
  stage.dataset.boxes = head.boxes.length;
  drawBoxes();
  showChips();
}

function area() { // where the picture lies in the stage, in CSS pixels
  const { clientWidth: width, clientHeight: height } = stage;
  const scale = Math.min(width / picture.width, height / picture.height);
  const w = picture.width * scale, h = picture.height * scale;
  return { x: (width - w) / 2, y: (height - h) / 2, scale };
}

function drawBoxes() {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(stage.clientWidth * ratio), height = Math.round(stage.clientHeight * ratio);
  if (boxes.width !== width || boxes.height !== height) {
    boxes.width = width;
    boxes.height = height;
  }
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (!frame) return;
  if (shown || draft) paintZones();
  if (!shown || draft) return;
  const { x, y, scale } = area();
  pen.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
  paintBoxes(pen, frame, scale, Math.max(11, Math.min(15, stage.clientWidth / 58)));
}

function paintBoxes(to, { boxes: rows, w, h }, scale, letters) {
  const line = Math.max(2, letters / 6), high = letters * 1.5, taken = [];
  to.font = `600 ${letters}px system-ui, sans-serif`;
  to.textBaseline = "middle";
  to.lineJoin = "round";
  for (const row of [...rows].reverse()) { // the best on top
    const [x1, y1, x2, y2] = row.slice(0, 4).map((side) => side * scale);
    const path = new Path2D();
    path.roundRect(x1, y1, Math.max(1, x2 - x1), Math.max(1, y2 - y1), 4);
    to.strokeStyle = "rgb(0 0 0 / .55)";
    to.lineWidth = line + 2;
    to.stroke(path);
    to.strokeStyle = tintOf(row[5]).fill;
    to.lineWidth = line;
    to.stroke(path);
  }
  for (const [left, top, right, bottom, score, number] of rows) {
    const text = `${nameOf(number)} ${Math.round(score * 100)} %`, tint = tintOf(number);
    const wide = Math.min(to.measureText(text).width + letters, w * scale);
    const x = Math.max(0, Math.min(left * scale - line / 2, w * scale - wide));
    const places = [top * scale - high, bottom * scale, top * scale, bottom * scale - high]
      .filter((place) => place >= 0 && place <= h * scale - high);
    const free = (place) => !taken.some(([a, b, c]) => x < a + c && a < x + wide && place < b + high && b < place + high);
    const y = places.find(free) ?? places[0] ?? 0;
    taken.push([x, y, wide]);
    to.fillStyle = tint.fill;
    to.beginPath();
    to.roundRect(x, y, wide, high, 4);
    to.fill();
    to.fillStyle = tint.ink;
    to.fillText(text, x + letters / 2, y + high / 2 + 0.5, wide - letters);
  }
}

// ---- classes

function wanted(name) {
  return !settings.classes.length || settings.classes.includes(name);
}
const named = () => labels.filter(Boolean);

function chip(name, onlyName, act = () => toggleClass(name)) {
  const button = make("button", { className: "chip", type: "button" });
  button.dataset.name = name;
  button.style.setProperty("--tint", tintOf(Math.max(0, labels.indexOf(name))).fill);
  button.append(make("i"), make("span", { className: "name", textContent: name }));
  if (!onlyName) button.append(make("b", { textContent: "0" }));
  button.addEventListener("click", act);
  return button;
}

function showChips() {
  const now = performance.now(), box = $("chips");
  const names = new Set(named().filter((name) => !wanted(name) && seen.has(name)));
  for (const [name, when] of seen) if (now - when < KEEP * 1000) names.add(name);
  const have = new Map([...box.children].map((element) => [element.dataset.name, element]));
  for (const [name, element] of have) if (!names.has(name) && document.activeElement !== element) element.remove();
  for (const name of names) {
    if (!have.has(name)) {
      const after = [...box.children].find((other) => labels.indexOf(other.dataset.name) > labels.indexOf(name));
      box.insertBefore(chip(name), after || null);
    }
  }
  let total = 0;
  for (const element of box.children) {
    const name = element.dataset.name, n = counts[name] || 0, known = labels.includes(name);
    total += n;
    element.lastChild.textContent = n;
    element.lastChild.toggleAttribute("data-zero", !n);
    element.toggleAttribute("data-here", n > 0);
    element.setAttribute("aria-pressed", wanted(name));
    element.setAttribute("aria-label", `${name}: ${n} in the picture`);
    element.disabled = !known;
  }
  $("none").hidden = box.children.length > 0;
  $("total").textContent = box.children.length ? many(total, "object") : "";
}

function showAll() {
  const box = $("all");
  if (box.childElementCount !== named().length) box.replaceChildren(...named().map((name) => chip(name, true)));
  for (const element of box.children) element.setAttribute("aria-pressed", wanted(element.dataset.name));
  $("more").hidden = !named().length;
}

function toggleClass(name) {
  const all = named(), on = all.filter(wanted);
  const next = on.includes(name) ? on.filter((other) => other !== name) : all.filter((other) => other === name || on.includes(other));
  if (!next.length) toast("The last one: all classes are shown again");
  change({ classes: next.length === all.length ? [] : next });
}

// ---- settings

async function post(where, what) {
  try {
    const answer = await fetch(where, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Requested-With": "edge-detect" },
      body: JSON.stringify(what),
    });
    const told = await answer.json();
    if (answer.ok) return told;
    if (answer.status === 401) location.assign("/login");
    else toast(told.error);
  } catch {
    toast("Not changed: the connection is lost");
  }
  return null;
}

async function change(wish) {
  const told = await post("/api/settings", wish);
  if (told) settle(told);
}

let sliding = 0;
function settle(told) {
  settings = { confidence: told.confidence, classes: told.classes, paused: told.paused, zones: told.zones };
  if (!sliding) setSlider(settings.confidence);
  $("threshold").disabled = false;
  $("pause").setAttribute("aria-pressed", settings.paused);
  $("pause").title = settings.paused ? "Watch again (space)" : "Pause (space)";
  showChips();
  showAll();
  showZones();
  showState();
}

function setSlider(value) {
  const slider = $("threshold");
  slider.value = value;
  slider.style.setProperty("--part", `${((slider.value - slider.min) / (slider.max - slider.min)) * 100}%`);
  $("threshold-value").textContent = `${Math.round(value * 100)} %`;
}
$("threshold").addEventListener("input", (event) => {
  const value = Number(event.target.value);
  setSlider(value);
  clearTimeout(sliding);
  sliding = setTimeout(() => {
    sliding = 0;
    change({ confidence: value });
  }, 150);
});

// ---- measurements

class Meter {
  constructor(title, unit, digits, read) {
    Object.assign(this, { unit, digits, read, values: [] });
    this.number = make("span", { textContent: "–" });
    this.canvas = make("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.card = make("div", { className: "meter" }, make("h2", { textContent: title }),
      make("p", {}, this.number, make("small", { textContent: unit })), this.canvas);
    $("meters").append(this.card);
  }

  add(value) {
    const known = typeof value === "number";
    this.card.hidden = !known && !this.values.length;
    if (!known) {
      this.number.textContent = "–";
      return;
    }
    this.values.push(value);
    if (this.values.length > MINUTES) this.values.shift();
    this.number.textContent = value.toFixed(value < 10 ? this.digits : Math.max(0, this.digits - 1));
    this.draw();
  }

  draw() {
    const ratio = window.devicePixelRatio || 1, style = getComputedStyle(this.canvas);
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const to = this.canvas.getContext("2d"), accent = style.getPropertyValue("--accent");
    to.scale(ratio, ratio);
    const low = Math.min(...this.values), high = Math.max(...this.values);
    const room = Math.max(high - low, Math.abs(high) * 0.2, 1e-6), floor = (high + low) / 2 - room / 2;
    const at = (i) => [width - (this.values.length - 1 - i) * (width / (MINUTES - 1)),
      height - 8 - ((this.values[i] - floor) / room) * (height - 14)];
    const line = new Path2D();
    this.values.forEach((_, i) => line.lineTo(...at(i)));
    const under = new Path2D(line);
    under.lineTo(width, height);
    under.lineTo(at(0)[0], height);
    const fade = to.createLinearGradient(0, 0, 0, height);
    fade.addColorStop(0, accent);
    fade.addColorStop(1, "transparent");
    to.globalAlpha = 0.22;
    to.fillStyle = fade;
    to.fill(under);
    to.globalAlpha = 1;
    to.strokeStyle = accent;
    to.lineWidth = 1.75;
    to.lineJoin = "round";
    to.stroke(line);
  }
}
const meters = [
  new Meter("Frames a second", "fps", 1, (told) => told.fps),
  new Meter("Latency", "ms", 1, (told) => (told.fps ? told.latency_ms || told.infer_ms : null)),
  new Meter("CPU", "% of a core", 1, (told) => told.cpu_percent),
  new Meter("Memory", "MB", 1, (told) => told.rss_mb),
  new Meter("Temperature", "°C", 1, (told) => told.temperature),
];

function measure(told) {
  stats = told;
  for (const meter of meters) meter.add(meter.read(told));
  settle(told);
  if (told.last_event !== lastEvent) loadEvents(told.last_event);
  summarize();
}

// ---- state

const WARN = {
  "under-voltage": "Under-voltage: the power supply is too weak",
  "frequency capped": "The processor is slowed down",
  "throttled": "The processor is throttled",
  "soft temperature limit": "The processor is hot and runs slower",
};

function showState() {
  let state = "live", text = "Live";
  if (!socket || socket.readyState !== WebSocket.OPEN) [state, text] = full ? ["full", "Full"] : tries ? ["offline", "Offline"] : ["connecting", "Connecting"];
  else if (stats.lost) [state, text] = ["lost", "Camera lost"];
  else if (settings.paused) [state, text] = ["paused", "Paused"];
  $("status").dataset.state = state;
  if ($("status-text").textContent !== text) $("status-text").textContent = text;
  $("ribbon").hidden = state !== "paused";
  stage.toggleAttribute("data-dim", ["lost", "offline", "full"].includes(state));
  const banners = [];
  if (state === "offline") banners.push(["bad", "The connection is lost. Trying again by itself."]);
  if (state === "full") banners.push(["warn", "Too many are looking. Trying again by itself."]);
  if (state === "lost") banners.push(["bad", "The camera is away. It is opened again as soon as it is back."]);
  if (state !== "offline") for (const flag of stats.throttled || []) if (WARN[flag]) banners.push(["warn", WARN[flag]]);
  const box = $("banners");
  if (box.dataset.now !== JSON.stringify(banners)) {
    box.dataset.now = JSON.stringify(banners);
    box.replaceChildren(...banners.map(([kind, words]) => make("p", { className: `banner ${kind}`, textContent: words })));
  }
}

let told = "", toldAt = -Infinity;
function summarize() {
  const now = performance.now();
  const things = Object.entries(counts).map(([name, n]) => many(n, name));
  const what = stats.lost ? "The camera is away" : settings.paused ? "Paused" : things.join(", ") || "Nothing in the picture";
  if (draft || what === told || now - toldAt < 5000) return;
  [told, toldAt] = [what, now];
  $("summary").textContent = `${what}, ${Math.round(stats.fps)} frames a second`;
  document.title = things.length ? `${things.join(", ")} · edge-detect` : "edge-detect";
}

// ---- the connection

function connect() {
  clearTimeout(timer);
  if (socket || document.hidden) return;
  const own = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/live`);
  own.binaryType = "arraybuffer";
  socket = own;
  own.onmessage = ({ data }) => {
    if (own !== socket) return;
    if (data instanceof ArrayBuffer) take(data).catch(() => toast("A picture could not be shown"));
    else read(JSON.parse(data));
  };
  own.onclose = () => {
    if (own !== socket) return;
    socket = null;
    tries += 1;
    showState();
    const wait = Math.min(15, 2 ** (tries - 1)) * (0.75 + Math.random() / 2);
    timer = setTimeout(retry, wait * 1000);
  };
}

async function retry() { // what answers and lets nobody in is full, unless a session has ended
  try {
    const answer = await fetch("/api/state");
    if (answer.status === 401) return location.assign("/login");
    full = answer.ok;
  } catch {
    full = false;
  }
  connect();
}

function read(message) {
  if (message.state) {
    tries = 0;
    full = false;
    lastEvent = -1;
    forgetEvents();
    const { no_pictures: dark, blur } = message.state.privacy;
    $("private").hidden = !dark && !blur.length;
    $("private").textContent = dark ? "Private: no pictures" : `Blurred: ${blur.join(", ")}`;
    $("save").hidden = dark;
    labels = message.state.labels;
    $("source").textContent = message.state.source.split("?")[0];
    const { name, sha256, runtime } = message.state.model;
    $("model").textContent = [name, sha256 && sha256.slice(0, 12), runtime, `edge-detect ${message.state.version}`].filter(Boolean).join(" · ");
    $("logout").hidden = !message.state.guarded;
    settle(message.state.settings);
  }
  if (message.stats) measure(message.stats);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden && socket) { // a hidden page costs nothing
    const old = socket;
    socket = null;
    old.close();
  } else if (!document.hidden) connect();
});

// ---- buttons and keys

const pause = () => change({ paused: !settings.paused });
function toggleBoxes() {
  shown = !shown;
  $("toggle").setAttribute("aria-pressed", shown);
  drawBoxes();
}
function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.().catch(() => toast("Full screen is not possible here"));
}
function save() {
  if (!frame) return;
  const copy = make("canvas", { width: picture.width, height: picture.height }), to = copy.getContext("2d");
  to.drawImage(picture, 0, 0);
  if (shown) paintBoxes(to, frame, 1, Math.max(12, picture.width / 58));
  copy.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: `edge-detect-${new Date().toISOString().replace(/[:.]/g, "-")}.jpg` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    toast("Picture saved");
  }, "image/jpeg", 0.92);
}
const KEYS = { " ": pause, b: toggleBoxes, f: fullScreen, s: save };
$("pause").addEventListener("click", pause);
$("toggle").addEventListener("click", toggleBoxes);
$("full").addEventListener("click", fullScreen);
$("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  const here = event.target === document.body || event.target === stage;
  if (!here || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const act = KEYS[event.key.toLowerCase()];
  if (act) {
    event.preventDefault();
    act();
  }
});
new ResizeObserver(drawBoxes).observe(stage);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => meters.forEach((meter) => meter.draw()));
addEventListener("DOMContentLoaded", connect); // when the other scripts are there too
