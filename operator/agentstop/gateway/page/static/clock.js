// Times that go on. They stand still while the page is not live: nobody knows then whether the task still runs.

let ahead = 0; // milliseconds that this machine's clock is ahead of the gateway's
let running = false;

export function setClock(serverNow) {
  ahead = Date.now() - serverNow;
  running = true;
  tick();
}

export function haltClock() {
  running = false;
}

// The same as `spell` of the gateway's words.
export function spell(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 0.1 ? 2 : 1)}s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole}s`;
  const scale = [[600, 60, "m", 1, "s"], [7200, 60, "m", 1, ""], [28800, 3600, "h", 60, "m"], [172800, 3600, "h", 1, ""], [691200, 86400, "d", 3600, "h"]];
  for (const [below, unit, name, smaller, smallerName] of scale) {
    if (whole < below) {
      const rest = smallerName ? Math.floor((whole % unit) / smaller) : 0;
      return `${Math.floor(whole / unit)}${name}${rest ? `${rest}${smallerName}` : ""}`;
    }
  }
  return `${Math.floor(whole / 86400)}d`;
}

export function tick(root = document) {
  const now = Date.now() - ahead;
  for (const each of root.querySelectorAll("time[data-since]")) {
    const seconds = (now - Number(each.dataset.since)) / 1000 - Number(each.dataset.less || 0);
    const text = spell(Math.max(seconds, 0));
    if (each.textContent !== text) each.textContent = text;
  }
}

export function startClock() {
  ahead = Date.now() - Number(document.body.dataset.now);
  tick();
  setInterval(() => running && tick(), 1000);
}
