// Follows the runs by server-sent events: progress as it goes, fresh figures when one has ended.
import htmx from "htmx.org";

let stream: EventSource | null = null;

function show(fragment: string): void {
  const place = document.getElementById("progress");
  if (place === null) return;
  place.innerHTML = fragment;
  const running = place.querySelector("progress") !== null;
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-sync-button]")) {
    button.disabled = running;
    button.classList.toggle("is-running", running);
  }
}

/** Fetches the page again and puts its main part in place, with what was unfolded still unfolded. */
function refresh(): void {
  const unfolded = [...document.querySelectorAll("details[id][open]")].map((details) => details.id);
  void htmx
    .ajax("get", location.href, { target: "#main", select: "#main", swap: "outerHTML" })
    .then(() => {
      for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
    });
}

function open(): void {
  if (stream !== null) return;
  const seen = document.getElementById("main")?.dataset["run"] ?? "";
  stream = new EventSource(`/events?seen=${encodeURIComponent(seen)}`);
  stream.addEventListener("progress", (event: MessageEvent<string>) => show(event.data));
  stream.addEventListener("finished", refresh);
}

function close(): void {
  stream?.close();
  stream = null;
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
