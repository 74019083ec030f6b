// The emergency stop: a drill for what the form means, and then, once the scope is typed, the order.
import { ask, onSubmit, Refused, send, stopFields } from "./api.js";

export function startEmergency() {
  // The forms are parts of a page, and may come later, or anew.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("#scope-form");
    if (form) showFields(form);
    const { verb } = event.target.dataset;
    if (verb) document.getElementById("order-verb").textContent = verb;
  });
  const begin = () => {
    prepare(document.getElementById("scope-form"), rehearse);
    prepare(document.getElementById("order-form"), makeOrder);
  };
  begin();
  new MutationObserver(begin).observe(document.getElementById("main"), { childList: true, subtree: true });
}

function prepare(form, act) {
  if (!form || form.dataset.ready) return;
  form.dataset.ready = "yes";
  onSubmit(form, (fields) => act(form, fields));
  if (form.id === "scope-form") showFields(form);
}

function showFields(form) {
  const scope = new FormData(form).get("scope");
  for (const each of form.querySelectorAll("[data-for]")) {
    const wanted = each.dataset.for.split(" ").includes(scope);
    each.hidden = !wanted;
    for (const input of each.querySelectorAll("input")) input.disabled = !wanted;
  }
}

async function rehearse(form, fields) {
  const query = new URLSearchParams([...fields]);
  const { url, body, next } = await ask(`/emergency/order?${query}`);
  const drill = await send(url, body, { wait: 5 });
  location.assign(`${next}/${drill.name}`);
}

async function makeOrder(form, fields) {
  if (fields.get("typed").trim() !== form.dataset.typed) {
    throw new Refused(`Type exactly this to confirm: ${form.dataset.typed}`);
  }
  const body = { ...JSON.parse(form.dataset.body), ...JSON.parse(fields.get("how")), ...stopFields(fields) };
  if (fields.get("hold")) body.hold = true;
  // With a name of its own, an order that is sent twice is one order.
  form.dataset.name ||= `emergency-${crypto.getRandomValues(new Uint32Array(2)).reduce((text, each) => text + each.toString(36), "")}`;
  body.name = form.dataset.name;
  try {
    await send(form.dataset.url, body, { wait: 0 });
  } catch (error) {
    if (error.status !== 409) throw error;
    // It was made the first time, and that answer was lost.
  }
  location.assign(form.dataset.page + body.name);
}
