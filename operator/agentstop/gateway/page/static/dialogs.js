// Stop, pause, freeze, resume, lift, kill: a button opens a dialog that says what will happen, and its form does it.
import { onSubmit, send, stopFields, tell } from "./api.js";

export function startDialogs() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-dialog]");
    if (button) open(button);
    const close = event.target.closest("[data-close]");
    if (close) close.closest("dialog").close();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    const form = dialog.querySelector("form");
    onSubmit(form, async (fields) => {
      const { url, name, verb } = dialog.dataset;
      const body = dialog.id === "stop-dialog" ? stopFields(fields) : JSON.parse(dialog.dataset.body);
      await send(url, body, { wait: 0 });
      dialog.close();
      tell(`${verb}: requested for ${name}`);
    });
  }
}

function open(button) {
  const dialog = document.getElementById(`${button.dataset.dialog}-dialog`);
  const { url, name, title, what, verb, below, body } = button.dataset;
  Object.assign(dialog.dataset, { url, name, verb: verb ?? "Stop", body: body ?? "{}" });
  const fill = (part, text) => {
    for (const each of dialog.querySelectorAll(`[data-fill="${part}"]`)) each.textContent = text;
  };
  fill("name", name);
  fill("title", title ?? "");
  fill("what", what ?? "");
  fill("verb", verb ?? "");
  fill("below", Number(below) ? `So do the ${below} tasks below it that have not ended.` : "");
  const form = dialog.querySelector("form");
  form.reset();
  form.querySelector(".problem").hidden = true;
  dialog.showModal();
  // What ends something takes two deliberate keys: the focus is not on the button that does it.
  (dialog.querySelector("input") ?? dialog.querySelector("[data-close]")).focus();
}
