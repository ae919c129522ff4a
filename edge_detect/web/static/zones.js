"use strict";
// Zones and lines: drawn on the picture with a finger, a mouse or keys, kept by the program.

const NEAR = 22; // CSS pixels within which a point is meant
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const easel = $("easel"); // on the picture while one draws; has the keys
let draft = null, held = -1; // the zone that is being drawn, and the point that is being moved
let drawing = false; // whether a touch adds points
let spot = null; // where the keys are, in 0..1 of the picture; null until one is used
let starter = null; // the button that it began with, gets the focus back

const zonesNow = () => settings.zones || [];
const whole = ({ name, kind, points, classes }) => ({ name, kind, points, classes });

function paintZones() {
  const { x, y, scale } = area(), ratio = window.devicePixelRatio || 1;
  pen.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
  const w = picture.width * scale, h = picture.height * scale;
  for (const zone of zonesNow()) if (zone.name !== draft?.old) paintZone(zone, w, h, false);
  if (draft) paintZone(draft, w, h, true);
  if (draft && spot && document.activeElement === easel) paintSpot(spot[0] * w, spot[1] * h);
}

function outline(path, color) {
  for (const [style, width] of [["rgb(0 0 0 / .5)", 4.5], [color, 2.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.stroke(path);
  }
}

function paintSpot(x, y) {
  const path = new Path2D();
  path.arc(x, y, 12, 0, 7);
  for (const [a, b] of Object.values(ARROWS)) {
    path.moveTo(x + a * 6, y + b * 6);
    path.lineTo(x + a * 20, y + b * 20);
  }
  outline(path, held < 0 ? "#fff" : "#fbbf24");
}

function paintZone({ name, kind, points }, w, h, own) {
  if (!points.length) return;
  const path = new Path2D(), color = own ? "#fbbf24" : "#34d399";
  points.forEach(([x, y]) => path.lineTo(x * w, y * h));
  if (kind === "zone" && (!own || !drawing)) path.closePath();
  pen.lineJoin = pen.lineCap = "round";
  pen.globalAlpha = own ? 0.25 : 0.12;
  pen.fillStyle = color;
  if (kind === "zone") pen.fill(path);
  pen.globalAlpha = 1;
  pen.setLineDash(own ? [] : [8, 6]);
  outline(path, color);
  pen.setLineDash([]);
  if (own) {
    points.forEach(([x, y], i) => {
      pen.beginPath();
      pen.arc(x * w, y * h, i ? 6 : 8, 0, 7);
      pen.fillStyle = i ? "#fff" : color;
      pen.fill();
      pen.lineWidth = 2;
      pen.strokeStyle = "#000";
      pen.stroke();
    });
  } else {
    const [x, y] = points[0];
    pen.font = "600 12px system-ui, sans-serif";
    pen.textBaseline = "top";
    const left = Math.min(x * w, w - pen.measureText(name).width - 6);
    pen.lineWidth = 3;
    pen.strokeStyle = "rgb(0 0 0 / .7)";
    pen.strokeText(name, left + 4, Math.min(y * h + 4, h - 18));
    pen.fillStyle = "#fff";
    pen.fillText(name, left + 4, Math.min(y * h + 4, h - 18));
  }
}

// ---- drawing

const within = (place) => place.map((part) => Math.round(Math.max(0, Math.min(1, part)) * 1e4) / 1e4);
function placeOf(event) { // in 0..1 of the picture
  const box = stage.getBoundingClientRect(), { x, y, scale } = area();
  return within([(event.clientX - box.left - x) / (picture.width * scale), (event.clientY - box.top - y) / (picture.height * scale)]);
}
function nearest([x, y]) {
  const { scale } = area();
  const far = ([a, b]) => Math.hypot((a - x) * picture.width, (b - y) * picture.height) * scale;
  const i = draft.points.reduce((best, point, n) => (best < 0 || far(point) < far(draft.points[best]) ? n : best), -1);
  return i >= 0 && far(draft.points[i]) < NEAR ? i : -1;
}

function press(place) { // takes the point that is there, or sets one
  const near = nearest(place);
  if (drawing && draft.kind === "zone" && near === 0 && draft.points.length >= 3) return finish();
  held = near;
  if (held < 0 && drawing && draft.points.length < 32) held = draft.points.push(place) - 1;
  showDraft();
}
function undo() {
  held = -1;
  draft.points.pop();
  drawing = true;
  showDraft();
  say(`${many(draft.points.length, "point")} left`);
}

easel.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.preventDefault();
  spot = null;
  press(placeOf(event));
  if (held >= 0) easel.setPointerCapture(event.pointerId);
});
easel.addEventListener("pointermove", (event) => {
  if (held < 0 || !event.buttons) return;
  draft.points[held] = placeOf(event);
  drawBoxes();
});
for (const end of ["pointerup", "pointercancel", "blur"]) {
  easel.addEventListener(end, () => {
    held = -1;
    drawBoxes();
  });
}

// ---- the same with keys

const say = (words) => ($("summary").textContent = words); // nothing else is told there meanwhile
function sayWhere() {
  const [x, y] = spot.map((part) => Math.round(part * 100)), near = held < 0 ? nearest(spot) : -1;
  say(`${x} % across, ${y} % down${near < 0 ? "" : `, at point ${near + 1}`}`);
}
function usePoint() { // sets one, takes one, or puts down what was taken
  const n = draft.points.length, put = held >= 0;
  if (put) held = -1;
  else press(spot);
  if (put) say("Point put down");
  else if (draft.points.length > n) {
    held = -1;
    say(`Point ${n + 1} set`);
  } else if (held >= 0) say(`Point ${held + 1} taken: arrows move it, Enter puts it down`);
  else if (document.activeElement === easel) say(n < 32 ? "No point here" : "There are 32 points already");
}
function hop(by) { // to another point
  const n = draft.points.length, near = nearest(spot);
  if (!n || held >= 0) return;
  spot = draft.points[(near < 0 && by < 0 ? n - 1 : near + by + n) % n];
  sayWhere();
}
const ACTS = { "Enter": usePoint, " ": usePoint, "Backspace": undo, "PageDown": () => hop(1), "PageUp": () => hop(-1) };
easel.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key], act = ACTS[event.key];
  if (!(arrow || act) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  $("zone-keys").hidden = false;
  spot ??= draft.points.at(-1) || [0.5, 0.5];
  if (arrow) {
    spot = within(spot.map((part, i) => part + arrow[i] * (event.shiftKey ? 0.1 : 0.01)));
    if (held >= 0) draft.points[held] = spot;
    sayWhere();
  } else if (!event.repeat) act();
  drawBoxes();
});

function begin(kind, zone) {
  draft = { name: "", classes: [], points: [], old: zone?.name, kind, ...zone && structuredClone(whole(zone)) };
  drawing = !zone;
  spot = null;
  starter = document.activeElement.closest("button");
  $("zone-name").value = draft.name;
  const box = $("zone-classes");
  box.replaceChildren(...named().map((name) => {
    const one = chip(name, true, () => {
      draft.classes = draft.classes.includes(name) ? draft.classes.filter((other) => other !== name) : [...draft.classes, name];
      showDraft();
    });
    return one;
  }));
  showDraft();
  easel.focus({ preventScroll: true });
  $("zone-keys").hidden = !easel.matches(":focus-visible"); // whoever points needs none
  stage.scrollIntoView({ block: "nearest", behavior: "smooth" });
}
function finish() {
  drawing = false;
  showDraft();
  say("The zone is closed");
  $("zone-name").focus({ preventScroll: true });
}
function stop() {
  draft = null;
  drawing = false;
  showDraft();
  (starter?.isConnected ? starter : $("draw-zone")).focus({ preventScroll: true });
}

function showDraft() {
  const enough = draft && draft.points.length >= (draft.kind === "zone" ? 3 : 2);
  stage.toggleAttribute("data-drawing", Boolean(draft));
  easel.hidden = !draft;
  $("zone-form").hidden = !draft;
  $("zone-new").hidden = Boolean(draft);
  if (draft) {
    const what = draft.kind === "zone" ? "Tap the corners of the zone on the picture." : "Tap the points of the line on the picture.";
    $("zone-help").textContent = drawing ? what : "Drag the points to move them.";
    $("zone-undo").disabled = !draft.points.length;
    $("zone-save").disabled = !enough;
    for (const one of $("zone-classes").children) one.setAttribute("aria-pressed", draft.classes.includes(one.dataset.name));
  }
  drawBoxes();
}

async function keepZones(zones, words) {
  const told = await post("/api/settings", { zones: zones.map(whole) });
  if (!told) return false;
  settle(told);
  toast(words);
  return true;
}

$("zone-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("zone-name").value.trim();
  if (!name) return $("zone-name").focus();
  if (zonesNow().some((zone) => zone.name === name && name !== draft.old)) return toast("There is a zone of that name");
  const made = { ...whole(draft), name }, others = zonesNow();
  const zones = draft.old ? others.map((zone) => (zone.name === draft.old ? made : zone)) : [...others, made];
  if (await keepZones(zones, "Zone saved")) stop();
});
$("zone-undo").addEventListener("click", undo);
$("zone-cancel").addEventListener("click", stop);
$("draw-zone").addEventListener("click", () => begin("zone"));
$("draw-line").addEventListener("click", () => begin("line"));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !draft) return;
  stop();
  say("Given up: nothing has changed");
});

let shownZones = "";
function showZones() {
  const now = JSON.stringify(zonesNow());
  if (now === shownZones) return;
  shownZones = now;
  $("zones").replaceChildren(...zonesNow().map((zone) => {
    const classes = zone.classes.length ? zone.classes.join(", ") : "all classes";
    const edit = make("button", { type: "button", className: "link", textContent: "Edit" });
    const remove = make("button", { type: "button", className: "link", textContent: "Delete" });
    edit.setAttribute("aria-label", `Edit ${zone.name}`);
    remove.setAttribute("aria-label", `Delete ${zone.name}`);
    edit.addEventListener("click", () => begin(zone.kind, zone));
    remove.addEventListener("click", async () => {
      if (await keepZones(zonesNow().filter((other) => other.name !== zone.name), "Zone deleted")) $("draw-zone").focus();
    });
    return make("li", {}, make("div", {}, make("span", { textContent: zone.name }), make("small", { textContent: `${zone.kind}, ${classes}` })), edit, remove);
  }));
  drawBoxes();
}
