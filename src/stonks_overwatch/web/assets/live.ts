// Follows the runs by server-sent events: progress as it goes, fresh figures when one has ended.
import htmx from "htmx.org";

const PATIENCE = 6_000; // ms without the app before the page says so
const QUEUE = 4_000; // ms in which a sync that was asked for should have begun

let stream: EventSource | null = null;
let lost: number | undefined;

function fill(id: string, text: string): void {
  const place = document.getElementById(id);
  if (place !== null && place.textContent !== text) place.textContent = text;
}

function isRunning(): boolean {
  return document.querySelector("#progress progress") !== null;
}

function markButtons(busy: boolean): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-sync-button]")) {
    button.disabled = busy;
    button.classList.toggle("is-running", busy);
  }
}

function show(fragment: string): void {
  const place = document.getElementById("progress");
  if (place === null) return;
  const wasRunning = isRunning();
  place.innerHTML = fragment;
  markButtons(isRunning());
  // Every step would be too much to listen to.
  if (isRunning() && !wasRunning) fill("announce", "A sync has started.");
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

/** Shows at once that a sync was asked for; it waits in the queue for a moment before it tells of itself. */
function asked(event: Event): void {
  const { elt, successful } = (event as CustomEvent<{ elt: Element; successful: boolean }>).detail;
  if (!successful || elt.querySelector("[data-sync-button]") === null) return;
  markButtons(true);
  setTimeout(() => markButtons(isRunning()), QUEUE);
}

/** A page in the background listens to nothing: browsers allow six streams to one address at a time. */
export function startLive(): void {
  if (document.getElementById("progress") === null) return;
  const follow = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("htmx:afterRequest", asked);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", follow);
  follow();
}
