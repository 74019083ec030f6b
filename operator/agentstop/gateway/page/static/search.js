// Search as you type. The URL says what is looked for, so that it can be shared, and the way back leads back.
import { connect } from "./live.js";

const TYPING_MS = 200;

export function startSearch() {
  const form = document.getElementById("filters");
  if (!form) return;
  let timer = 0;
  const wanted = () => {
    const fields = [...new FormData(form)].filter(([, value]) => value.trim() !== "");
    const query = new URLSearchParams(fields).toString();
    return query ? `/?${query}` : "/";
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => go(wanted(), { replace: true }), TYPING_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    go(wanted());
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-go]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(link.getAttribute("href"));
    fill(form);
  });
  window.addEventListener("popstate", () => {
    fill(form);
    connect();
  });
}

function go(url, { replace = false } = {}) {
  if (url === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  connect();
}

function fill(form) {
  const query = new URLSearchParams(location.search);
  for (const each of form.elements) if (each.name) each.value = query.get(each.name) ?? "";
}
