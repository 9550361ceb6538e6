// Follows the runs by server-sent events: progress as it goes, fresh figures when one has ended, and the
// figures that move with the market (each has its name in data-live).
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

/** Fetches the page again and puts what may change in place, with what was unfolded still unfolded. */
async function refresh(): Promise<void> {
  const unfolded = [...document.querySelectorAll("details[id][open]")].map((details) => details.id);
  const hadFocus = document.activeElement !== null && document.activeElement !== document.body;
  const part = document.getElementById("main")?.dataset["refresh"] ?? "#main";
  await htmx.ajax("get", location.href, { target: part, select: part, swap: "outerHTML" });
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  if (hadFocus && document.activeElement === document.body) {
    document.getElementById("main")?.focus({ preventScroll: true });
  }
  fill("announce", "A sync has ended. The page shows the new state.");
}

type Figure = [html: string, said: string] | null; // null: what the page was made with
type News = { label?: string; why?: string; figures?: Record<string, Figure> };

const now = new Map<string, Figure>(); // what has moved, for parts of the page that are put in place later
const stored = new WeakMap<HTMLElement, string>();
let told: News = {};

/** Puts the figure in its place; says whether that changed what stands there. */
function put(place: HTMLElement, figure: Figure): boolean {
  const [html, said] = figure ?? [stored.get(place) ?? "", ""];
  const changes = place.innerHTML !== html;
  if (changes) place.innerHTML = html;
  if (place.title !== said) place.title = said;
  place.classList.toggle("is-live", figure !== null);
  place.classList.remove("has-moved");
  return changes;
}

/** How it stands with live values; as long as nothing is told (an empty text), what the page was made with. */
function tell(): void {
  for (const [name, html] of [["label", told.label], ["why", told.why]] as const) {
    const place = document.querySelector<HTMLElement>(`[data-live-page] [data-live-${name}]`);
    if (place === null) continue;
    if (!stored.has(place)) stored.set(place, place.innerHTML);
    const shown = html || (stored.get(place) ?? "");
    if (place.innerHTML !== shown) place.innerHTML = shown;
  }
}

/** The figure's name in the stream: its own, and whose it is. */
function nameOf(place: HTMLElement): string {
  const whose = place.closest<HTMLElement>("[data-of]")?.dataset["of"];
  return whose === undefined ? (place.dataset["live"] ?? "") : `${place.dataset["live"]} ${whose}`;
}

/** All of them at once: a page of hundreds is laid out when all is read or all is written, not each time. */
function putAll(figures: ReadonlyMap<string, Figure>, moves: boolean): void {
  const places: [HTMLElement, Figure][] = [];
  for (const place of document.querySelectorAll<HTMLElement>("[data-live]")) {
    const figure = figures.get(nameOf(place));
    if (figure !== undefined) places.push([place, figure]);
  }
  const fresh = places.map(([place]) => place).filter((place) => !stored.has(place));
  const widths = fresh.map((place) => place.getBoundingClientRect().width);
  fresh.forEach((place, number) => {
    stored.set(place, place.innerHTML);
    place.style.minWidth = `${widths[number]}px`; // what gets shorter moves nothing else
  });
  const moved = places.filter(([place, figure]) => put(place, figure));
  if (!moves || moved.length === 0) return;
  void document.body.offsetWidth; // lets the animations begin again
  for (const [place] of moved) place.classList.add("has-moved");
}

function move(news: News): void {
  if (news.label !== undefined) {
    told = news;
    tell();
  }
  const changed = new Map(Object.entries(news.figures ?? {}));
  putAll(changed, now.size > 0);
  for (const [name, figure] of changed) now.set(name, figure);
}

function moveAgain(): void {
  tell();
  putAll(now, false);
}

/** Back to what the page was made with: nobody says any more how the figures stand. */
function restore(): void {
  for (const name of now.keys()) now.set(name, null);
  moveAgain();
  now.clear();
  told = {};
  tell();
}

function found(): void {
  clearTimeout(lost);
  lost = undefined;
  fill("lost", "");
}

function open(): void {
  if (stream !== null) return;
  const seen = document.getElementById("main")?.dataset["run"] ?? "";
  const parameters = new URLSearchParams({ seen });
  const moving = document.querySelector<HTMLElement>("[data-live-page]");
  if (moving !== null) {
    parameters.set("page", moving.dataset["livePage"] ?? "");
    parameters.set("account", moving.dataset["liveAccount"] ?? "");
  }
  stream = new EventSource(`/events?${parameters}`);
  stream.addEventListener("open", () => {
    found();
    restore();
  });
  stream.addEventListener("error", () => {
    lost ??= window.setTimeout(() => {
      fill("lost", "The app does not answer. Is it still running? This page tries again.");
      restore();
    }, PATIENCE);
  });
  stream.addEventListener("progress", (event: MessageEvent<string>) => show(event.data));
  stream.addEventListener("finished", () => void refresh());
  stream.addEventListener("live", (event: MessageEvent<string>) => move(JSON.parse(event.data) as News));
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
  document.addEventListener("htmx:afterSettle", moveAgain);
  follow();
}
