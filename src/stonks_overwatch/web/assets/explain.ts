// How a figure came about, in a panel beside the page. Without this script the links lead to the same as a
// page; in tables, where only rows are links, a click on a figure opens the figure's own explanation.
import htmx from "htmx.org";

const PATH = "/explain/";

/** The address of a figure in a table: the table's path, the figure's name, the row's key. */
function addressOf(figure: HTMLElement): string | null {
  const table = figure.closest<HTMLElement>("[data-explain]");
  const path = figure.closest<HTMLElement>("[data-rows]")?.dataset["rows"] ?? table?.dataset["explain"];
  const row = figure.closest<HTMLElement>("[data-row], [data-of]");
  const live = figure.dataset["live"];
  const names = new Map((table?.dataset["names"] ?? "").split(" ").map((pair) => pair.split(":") as [string, string]));
  const name = figure.dataset["x"] ?? (live === undefined ? undefined : names.get(live));
  if (path === undefined || name === undefined) return null;
  const address = new URL(path, location.origin);
  address.pathname = `${address.pathname}.${name}`;
  if (row !== null) address.searchParams.append("row", row.dataset["row"] ?? row.dataset["of"] ?? "");
  return address.pathname + address.search;
}

let panel: HTMLDialogElement | null = null;
let opener: Element | null = null; // what had the focus before

function opened(): HTMLDialogElement {
  if (panel === null) {
    panel = document.createElement("dialog");
    panel.className = "panel";
    panel.setAttribute("aria-label", "How a figure came about");
    panel.innerHTML =
      '<div class="panel-head"><strong>Explanation</strong><button type="button" class="btn btn-quiet btn-sm" data-back hidden>Back</button>' +
      '<a class="small" data-whole href="">As a page</a>' +
      '<button type="button" class="btn btn-quiet btn-sm" data-close>Close</button></div><div class="panel-body" tabindex="-1"></div>';
    document.body.append(panel);
    panel.addEventListener("close", () => {
      trail.splice(0);
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus({ preventScroll: true });
    });
  }
  if (!panel.open) {
    opener = document.activeElement;
    panel.showModal();
  }
  return panel;
}

const trail: string[] = [];

async function show(address: string): Promise<void> {
  if (trail.at(-1) !== address) trail.push(address);
  const dialog = opened();
  const body = dialog.querySelector<HTMLElement>(".panel-body");
  if (body === null) return;
  dialog.querySelector<HTMLAnchorElement>("[data-whole]")?.setAttribute("href", address);
  dialog.querySelector<HTMLElement>("[data-back]")?.toggleAttribute("hidden", trail.length < 2);
  await htmx.ajax("get", address, { target: body, select: "#explanation", swap: "innerHTML" });
  body.scrollTop = 0;
  body.focus({ preventScroll: true });
}

function isPlain(event: MouseEvent): boolean {
  return event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
}

export function startExplaining(): void {
  // On the way down: links of a table that is replaced by htmx must not replace it with the explanation.
  const options = { capture: true };
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !isPlain(event)) return;
    const target = event.target;
    if (panel !== null && panel.open) {
      if (target === panel || target.closest("[data-close]")) return panel.close();
      if (target.closest("[data-back]")) {
        trail.pop();
        const before = trail.at(-1);
        return void (before !== undefined && show(before));
      }
      if (target.closest("[data-whole]")) return;
    }
    const link = target.closest("a");
    if (link !== null) {
      const isExplanation = link.origin === location.origin && link.pathname.startsWith(PATH);
      if (!isExplanation || document.getElementById("explanation")?.closest("main")) return;
      event.preventDefault();
      event.stopPropagation();
      return void show(link.pathname + link.search);
    }
    if (target.closest("button, input, select, summary, label")) return;
    if (document.getSelection()?.isCollapsed === false) return;
    const figure = target.closest<HTMLElement>("[data-x], [data-live]");
    const address = figure === null ? null : addressOf(figure);
    if (address !== null) void show(address);
  }, options);
}
