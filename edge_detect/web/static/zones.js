"use strict";
// Zones and lines: drawn on the picture with a finger or a mouse, kept by the program.

const NEAR = 22; // CSS pixels within which a point is meant
let draft = null, held = -1; // the zone that is being drawn, and the point that is being moved
let drawing = false; // whether a touch adds points

const zonesNow = () => settings.zones || [];
const whole = ({ name, kind, points, classes }) => ({ name, kind, points, classes });

function paintZones() {
  const { x, y, scale } = area(), ratio = window.devicePixelRatio || 1;
  pen.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
  const w = picture.width * scale, h = picture.height * scale;
  for (const zone of zonesNow()) if (zone.name !== draft?.old) paintZone(zone, w, h, false);
  if (draft) paintZone(draft, w, h, true);
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
  for (const [style, width] of [["rgb(0 0 0 / .5)", 4.5], [color, 2.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.stroke(path);
  }
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

function placeOf(event) { // in 0..1 of the picture
  const box = stage.getBoundingClientRect(), { x, y, scale } = area();
  const part = (value, size) => Math.round(Math.max(0, Math.min(1, value / (size * scale))) * 1e4) / 1e4;
  return [part(event.clientX - box.left - x, picture.width), part(event.clientY - box.top - y, picture.height)];
}
function nearest([x, y]) {
  const { scale } = area();
  const far = ([a, b]) => Math.hypot((a - x) * picture.width, (b - y) * picture.height) * scale;
  const i = draft.points.reduce((best, point, n) => (best < 0 || far(point) < far(draft.points[best]) ? n : best), -1);
  return i >= 0 && far(draft.points[i]) < NEAR ? i : -1;
}

stage.addEventListener("pointerdown", (event) => {
  if (!draft || event.button || event.target.closest("button")) return;
  event.preventDefault();
  const place = placeOf(event), near = nearest(place), least = draft.kind === "zone" ? 3 : 2;
  if (drawing && draft.kind === "zone" && near === 0 && draft.points.length >= least) return finish();
  held = near;
  if (held < 0 && drawing && draft.points.length < 32) held = draft.points.push(place) - 1;
  if (held >= 0) stage.setPointerCapture(event.pointerId);
  showDraft();
});
stage.addEventListener("pointermove", (event) => {
  if (!draft || held < 0) return;
  draft.points[held] = placeOf(event);
  drawBoxes();
});
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (held = -1));

function begin(kind, zone) {
  draft = { name: "", classes: [], points: [], old: zone?.name, kind, ...zone && structuredClone(whole(zone)) };
  drawing = !zone;
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
  stage.scrollIntoView({ block: "nearest", behavior: "smooth" });
}
function finish() {
  drawing = false;
  showDraft();
  $("zone-name").focus({ preventScroll: true });
}
function stop() {
  draft = null;
  drawing = false;
  showDraft();
}

function showDraft() {
  const enough = draft && draft.points.length >= (draft.kind === "zone" ? 3 : 2);
  stage.toggleAttribute("data-drawing", Boolean(draft));
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
$("zone-undo").addEventListener("click", () => {
  draft.points.pop();
  drawing = true;
  showDraft();
});
$("zone-cancel").addEventListener("click", stop);
$("draw-zone").addEventListener("click", () => begin("zone"));
$("draw-line").addEventListener("click", () => begin("line"));
document.addEventListener("keydown", (event) => event.key === "Escape" && draft && stop());

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
    remove.addEventListener("click", () => keepZones(zonesNow().filter((other) => other.name !== zone.name), "Zone deleted"));
    return make("li", {}, make("div", {}, make("span", { textContent: zone.name }), make("small", { textContent: `${zone.kind}, ${classes}` })), edit, remove);
  }));
  drawBoxes();
}
