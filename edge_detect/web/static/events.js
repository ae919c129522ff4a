"use strict";
// The timeline: what happened, the newest first; a tap shows its clip, or its picture.

const MOST = 100; // rows
const timeline = new Map(); // id -> { event, row }
const DOES = { appeared: "appeared", entered: "entered", left: "left", crossed: "crossed", stayed: "stayed in", gone: "has gone", camera_lost: "Camera lost", camera_back: "Camera back" };
let newestSeq = 0, asking = false, again = false, opened = null;

function sentence(event) {
  if (event.text) return event.text;
  const does = DOES[event.kind] || event.kind, name = event.label;
  const words = [name && name[0].toUpperCase() + name.slice(1), does, event.zone, event.direction && `(${event.direction})`];
  return words.filter(Boolean).join(" ");
}
const clock = (time) => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
function day(time) {
  const date = new Date(time);
  return date.toDateString() === new Date().toDateString() ? "" : `${date.toLocaleDateString([], { day: "numeric", month: "short" })} `;
}
function lasting(seconds) {
  return seconds < 60 ? `${Math.max(1, Math.round(seconds))} s` : seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
const began = (event) => event.start_time || event.time;
const address = (event, what) => `/api/events/${encodeURIComponent(event.id)}/${what}`;

function forgetEvents() {
  timeline.clear();
  newestSeq = 0;
  $("events").replaceChildren();
}

async function loadEvents(last) {
  lastEvent = last;
  again = true;
  if (asking) return;
  asking = true;
  try {
    while (again) {
      again = false;
      const answer = await fetch(`/api/events?limit=${MOST}&after=${newestSeq}`);
      if (!answer.ok) break;
      showEvents((await answer.json()).events);
    }
  } catch {
    lastEvent = -1;
  } finally {
    asking = false;
  }
}

function showEvents(events) {
  for (const event of events) {
    newestSeq = Math.max(newestSeq, event.seq);
    const old = timeline.get(event.id);
    const row = rowOf(event, old?.row);
    const focused = old?.row.contains(document.activeElement);
    if (old) old.row.replaceWith(row);
    if (focused) row.querySelector("button")?.focus({ preventScroll: true });
    timeline.set(event.id, { event, row });
    if (opened?.id === event.id) view(event);
  }
  const sorted = [...timeline.values()].sort((a, b) => began(b.event).localeCompare(began(a.event)) || b.event.seq - a.event.seq);
  for (const { event, row } of sorted.splice(MOST)) {
    timeline.delete(event.id);
    row.remove();
  }
  const list = $("events");
  sorted.forEach(({ row }, i) => { // only what has moved is touched, so that nothing that is read jumps
    if (list.children[i] !== row) list.insertBefore(row, list.children[i] || null);
  });
}

function rowOf(event, old) {
  const row = make("li"), open = event.kind && event.type !== "end";
  row.dataset.type = event.text ? event.type : event.kind;
  row.toggleAttribute("data-open", Boolean(open));
  const words = [`${day(began(event))}${clock(began(event))}`, event.kind && (open ? "now" : lasting(event.duration_s)), event.protected && "protected"];
  const about = make("div", {}, make("span", { textContent: sentence(event) }),
    make("time", { dateTime: began(event), textContent: words.filter(Boolean).join(" · ") }));
  if (!event.snapshot && !event.clip) {
    row.append(about);
    return row;
  }
  const button = make("button", { type: "button", className: "event" });
  if (event.snapshot) {
    const src = `${address(event, "snapshot.jpg")}?small=1&${event.type}`, had = old?.querySelector("img");
    button.append(had?.getAttribute("src") === src ? had : make("img", { loading: "lazy", alt: "", width: 96, height: 54, src }));
  }
  button.append(about);
  if (event.clip) button.append(make("i", { className: "play" }));
  button.addEventListener("click", () => view(event, true));
  row.append(button);
  return row;
}

// ---- one event

function view(event, start) {
  const clip = $("clip"), still = $("still"), box = $("viewer"), source = event.clip && `${address(event, "clip.mp4")}#t=${Math.max(0, event.clip_at - 2)}`;
  opened = event;
  $("viewer-title").textContent = sentence(event);
  $("viewer-time").textContent = `${day(began(event))}${clock(began(event))} · ${event.type === "end" ? lasting(event.duration_s) : "now"}`;
  clip.hidden = !source;
  still.hidden = Boolean(source);
  if (source && clip.getAttribute("src") !== source) {
    clip.src = source;
    clip.play().catch(() => {});
  }
  if (!source) still.src = `${address(event, "snapshot.jpg")}?overlay=1&${event.type}`;
  still.alt = sentence(event);
  $("protect").setAttribute("aria-pressed", event.protected);
  $("delete").disabled = event.protected || event.type !== "end";
  $("download").href = event.clip ? address(event, "clip.mp4") : address(event, "snapshot.jpg");
  $("download").download = `${event.id}.${event.clip ? "mp4" : "jpg"}`;
  if (start && !box.open) box.showModal();
}
$("viewer").addEventListener("close", () => {
  // the row may be another one by now, or gone
  (timeline.get(opened.id)?.row.querySelector("button") || $("events")).focus({ preventScroll: true });
  opened = null;
  $("clip").removeAttribute("src");
  $("clip").load();
});
$("viewer").addEventListener("click", (event) => event.target === $("viewer") && $("viewer").close());
$("close").addEventListener("click", () => $("viewer").close());
$("protect").addEventListener("click", async () => {
  const told = await post(address(opened, opened.protected ? "unprotect" : "protect"), {});
  if (told) showEvents([told]);
});
$("delete").addEventListener("click", async () => {
  const { id } = opened;
  if (!await post(address(opened, "delete"), {})) return;
  timeline.get(id)?.row.remove();
  timeline.delete(id);
  $("viewer").close();
  toast("Deleted");
});
