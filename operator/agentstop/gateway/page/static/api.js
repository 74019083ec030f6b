// Requests to our own API, with the session of whoever looks at the page.

export class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status; // 0 where there was no answer
  }
}

// Sends a request, and returns what is answered. Throws Refused, with a message for people.
export async function send(url, body, { wait = null } = {}) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (wait !== null) headers.Prefer = `wait=${wait}`;
  return ask(url, { method: "POST", headers, body: JSON.stringify(body) });
}

export async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, { ...options, redirect: "error", signal: AbortSignal.timeout(30000) });
  } catch {
    throw new Refused("The gateway does not answer. Whether it was done is not known: try again.");
  }
  const text = await answer.text();
  let found = null;
  try {
    found = JSON.parse(text);
  } catch {
    found = null;
  }
  if (answer.ok) return found;
  if (answer.status === 401) throw new Refused("Your session is over. Load this page again to log in.", 401);
  throw new Refused(found?.detail || text.trim() || `The gateway answers with status ${answer.status}`, answer.status);
}

// Tells somebody something, whatever he looks at.
export function tell(text) {
  const place = document.getElementById("told");
  place.textContent = text;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => (place.textContent = ""), 8000);
}

// Has a form do something, once at a time, and shows what it is refused with.
export function onSubmit(form, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.dataset.busy) return;
    form.dataset.busy = "yes";
    const problem = form.querySelector(".problem");
    problem.hidden = true;
    try {
      await act(new FormData(form));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      delete form.dataset.busy;
    }
  });
}

// Returns what the fields of a stop say.
export function stopFields(fields) {
  const found = {};
  for (const name of ["reason", "message"]) {
    const text = (fields.get(name) ?? "").trim();
    if (text) found[name] = text;
  }
  const grace = (fields.get("gracePeriodSeconds") ?? "").trim();
  if (grace) found.gracePeriodSeconds = Number(grace);
  return found;
}
