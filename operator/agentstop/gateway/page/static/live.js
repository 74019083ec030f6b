// Keeps a page as things are: parts and rows that have changed come as HTML, made by the gateway's templates, where all
// text of tasks is escaped. Once nothing is heard any more, the page says so, and never calls old data live.
import { haltClock, setClock, tick } from "./clock.js";

const QUIET_MS = 10000; // the gateway says something every four seconds
const RETRY_MS = 1000;
const MAX_RETRY_MS = 5000;

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("agentstop", { createHTML: (html) => html })
  : { createHTML: (html) => html };

let source = null;
let silence = 0;
let next = 0;
let retry = RETRY_MS;
let lastHeard = null;

export function startLive() {
  if (document.getElementById("again")) setTimeout(tryAgain, 3000);
  if (!document.body.dataset.live) return;
  say("wait", "Connecting");
  connect();
  window.addEventListener("offline", () => lose("this machine is offline"));
  window.addEventListener("online", connect);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && connect());
}

// Hears of the gateway no more, and tries no more: there is one stream at a time.
function leave() {
  clearTimeout(silence);
  clearTimeout(next);
  source?.close();
}

// Follows what the URL now asks for.
export function connect() {
  leave();
  source = new EventSource(document.body.dataset.live + location.search);
  const mine = source;
  const on = (kind, act) =>
    mine.addEventListener(kind, (event) => {
      if (mine !== source) return;
      hear();
      act(JSON.parse(event.data));
    });
  on("patch", (patch) => {
    apply(patch);
    found();
  });
  on("beat", () => {});
  on("stale", ({ problem }) => lose(problem, { old: true }));
  on("gone", ({ problem }) => {
    leave();
    lose(problem, { over: true });
  });
  mine.addEventListener("error", () => mine === source && broke());
  silence = setTimeout(broke, QUIET_MS);
}

function hear() {
  clearTimeout(silence);
  lastHeard = new Date();
  silence = setTimeout(broke, QUIET_MS);
}

function broke() {
  const mine = source;
  const closed = mine.readyState === EventSource.CLOSED;
  leave();
  lose("the gateway does not answer");
  next = setTimeout(async () => {
    // An answer that was an error may mean that the session is over: the page itself says more than a stream can.
    const refused = closed && (await isRefused());
    if (mine !== source) return; // somebody has asked for something else meanwhile
    if (refused) location.reload();
    else connect();
  }, retry * (0.75 + Math.random() / 2));
  retry = Math.min(retry * 1.5, MAX_RETRY_MS);
}

async function isRefused() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
    return answer.status >= 400 && answer.status < 500 && answer.status !== 429;
  } catch {
    return false;
  }
}

async function tryAgain() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status < 500) return location.reload();
  } catch {
    // the gateway is away: go on asking
  }
  setTimeout(tryAgain, 3000);
}

function found() {
  retry = RETRY_MS;
  document.documentElement.classList.remove("old");
  const lost = document.getElementById("lost");
  lost.hidden = true;
  lost.textContent = "";
  say("live", "Live");
}

function lose(problem, { old = false, over = false } = {}) {
  haltClock();
  document.documentElement.classList.add("old");
  const lost = document.getElementById("lost");
  const since = lastHeard ? `, of ${lastHeard.toLocaleTimeString()}` : "";
  const text = over
    ? `This is not there any more: ${problem}. What you see is old.`
    : `${old ? "The gateway cannot see the cluster" : "Connection lost"}: ${problem}. What you see is old${since}.`;
  if (lost.hidden || !lost.textContent.includes(problem)) lost.textContent = text;
  lost.hidden = false;
  say("lost", over ? "Gone" : "Not live");
}

function say(state, text) {
  const place = document.getElementById("connection");
  if (!place || place.textContent === text) return; // a screen reader says again what is put in again
  place.dataset.state = state;
  place.textContent = text;
}

function apply(patch) {
  const focus = whereFocusIs();
  for (const [id, mark, html] of patch.parts) put(id, mark, html);
  if (patch.rows) arrange(patch.rows);
  setClock(patch.now);
  focus();
}

function put(id, mark, html) {
  let place = document.getElementById(id);
  if (!place) {
    if (!patchable(id)) return;
    place = document.createElement("div");
    place.id = id;
    place.className = "row";
    place.setAttribute("role", "row");
    document.getElementById("rows").append(place);
  }
  if (place.dataset.mark === mark) return;
  place.dataset.mark = mark;
  place.innerHTML = policy.createHTML(html);
  tick(place);
}

function patchable(id) {
  return document.getElementById("rows") && /^[to]-/.test(id);
}

// Has the rows in this order, and moves only those that are out of it.
function arrange(ids) {
  const rows = document.getElementById("rows");
  const wanted = new Set(ids);
  for (const each of [...rows.children]) if (!wanted.has(each.id)) each.remove();
  let next = rows.firstElementChild;
  for (const id of ids) {
    const row = document.getElementById(id);
    if (!row) continue;
    if (row === next) next = next.nextElementSibling;
    else rows.insertBefore(row, next);
  }
}

// Returns what puts the focus back to where it was, if what had it was replaced.
function whereFocusIs() {
  const had = document.activeElement;
  const part = had?.closest("[data-mark]");
  if (!part) return () => {};
  const same = (each) =>
    each.tagName === had.tagName &&
    each.getAttribute("href") === had.getAttribute("href") &&
    each.dataset.dialog === had.dataset.dialog &&
    each.dataset.body === had.dataset.body &&
    each.dataset.url === had.dataset.url;
  return () => {
    if (had.isConnected) return;
    const place = document.getElementById(part.id);
    const again = place && [...place.querySelectorAll("a, button, [tabindex]")].find(same);
    (again ?? document.getElementById("main")).focus({ preventScroll: true });
  };
}
