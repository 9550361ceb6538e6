// Follows the runs by server-sent events: progress as it goes, fresh figures when one has ended.
import htmx from "htmx.org";

const PATIENCE = 6_000; // ms without the app before the page says so

let stream: EventSource | null = null;
let lost: number | undefined;

function fill(id: string, text: string): void {
  const place = document.getElementById(id);
  if (place !== null && place.textContent !== text) place.textContent = text;
}

function show(fragment: string): void {
  const place = document.getElementById("progress");
  if (place === null) return;
  const wasRunning = place.querySelector("progress") !== null;
  place.innerHTML = fragment;
  const running = place.querySelector("progress") !== null;
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-sync-button]")) {
    button.disabled = running;
    button.classList.toggle("is-running", running);
  }
  // Every step would be too much to listen to.
  if (running && !wasRunning) fill("announce", "A sync has started.");
}

/** Fetches the page again and puts its main part in place, with what was unfolded still unfolded. */
async function refresh(): Promise<void> {
  const unfolded = [...document.querySelectorAll("details[id][open]")].map((details) => details.id);
  const hadFocus = document.activeElement !== null && document.activeElement !== document.body;
  await htmx.ajax("get", location.href, { target: "#main", select: "#main", swap: "outerHTML" });
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  if (hadFocus && document.activeElement === document.body) {
    document.getElementById("main")?.focus({ preventScroll: true });
  }
  fill("announce", "A sync has ended. The page shows the new state.");
}

function found(): void {
  clearTimeout(lost);
  lost = undefined;
  fill("lost", "");
}

function open(): void {
  if (stream !== null) return;
  const seen = document.getElementById("main")?.dataset["run"] ?? "";
  stream = new EventSource(`/events?seen=${encodeURIComponent(seen)}`);
  stream.addEventListener("open", found);
  stream.addEventListener("error", () => {
    lost ??= window.setTimeout(() => fill("lost", "The app does not answer. Is it still running? This page tries again."), PATIENCE);
  });
  stream.addEventListener("progress", (event: MessageEvent<string>) => show(event.data));
  stream.addEventListener("finished", () => void refresh());
}

function close(): void {
  stream?.close();
  stream = null;
  found();
}

/** A page in the background listens to nothing: browsers allow six streams to one address at a time. */
export function startLive(): void {
  if (document.getElementById("progress") === null) return;
  const follow = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", follow);
  follow();
}
