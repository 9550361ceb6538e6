// What the pages do beyond HTML: partial updates (htmx), live progress, ages, theme, keys, charts.
import htmx from "htmx.org";
import { startAges } from "./ages";
import { startExplaining } from "./explain";
import { startLive } from "./live";

// The page's policy allows neither inline styles nor evaluated code, and private pages are not
// copied into the browser's storage.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
htmx.config.historyCacheSize = 0;
htmx.config.selfRequestsOnly = true;
htmx.config.scrollIntoViewOnBoost = false;

const themes = ["auto", "light", "dark"];

function nextTheme(): void {
  const chosen = document.documentElement.dataset["chosen"] ?? "auto";
  const next = themes[(themes.indexOf(chosen) + 1) % themes.length] ?? "auto";
  try {
    localStorage.setItem("appearance", next);
  } catch {
    return;
  }
  document.dispatchEvent(new Event("appearance"));
  labelThemeButtons();
}

function labelThemeButtons(): void {
  const chosen = document.documentElement.dataset["chosen"] ?? "auto";
  for (const button of document.querySelectorAll<HTMLElement>("[data-theme-button]")) {
    button.hidden = false;
    button.setAttribute("aria-label", `Theme: ${chosen}. Change it`);
    button.title = `Theme: ${chosen}`;
  }
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-theme-button]")) nextTheme();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const search = document.querySelector<HTMLInputElement>("input[type=search]");
  if (search === null) return;
  event.preventDefault();
  search.focus();
  search.select();
});

// A choice or a day that filters works by its form's button without scripts; with them it is enough.
document.addEventListener("change", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLSelectElement || field instanceof HTMLInputElement)) return;
  if (field.dataset["submits"] !== undefined) field.form?.requestSubmit();
});

function say(problem: string): void {
  const place = document.getElementById("alert");
  if (place !== null) place.textContent = problem;
}

document.addEventListener("htmx:sendError", () => say("The app did not answer. Is it still running?"));
document.addEventListener("htmx:responseError", () => say("The app could not do that. Load the page again to see why."));
document.addEventListener("htmx:afterOnLoad", (event) => {
  // What went wrong stays until something that was asked for goes well; a page refreshes by itself too.
  if ((event as CustomEvent<{ elt: Element }>).detail.elt !== document.body) say("");
});

async function drawCharts(within: ParentNode): Promise<void> {
  const charts = within.querySelectorAll<HTMLElement>("[data-chart]");
  if (charts.length > 0) {
    const { drawValueChart } = await import("./chart");
    for (const place of charts) drawValueChart(place);
  }
  const plots = within.querySelectorAll<HTMLElement>("[data-plot]");
  if (plots.length > 0) {
    const { drawPlot } = await import("./plots");
    for (const place of plots) void drawPlot(place);
  }
}

const tables = new ResizeObserver((resized) => {
  for (const { target } of resized) {
    const around = target.parentElement;
    around?.classList.toggle("fits", target.scrollWidth <= around.clientWidth);
  }
});

htmx.onLoad((loaded) => {
  if (!(loaded instanceof HTMLElement)) return;
  for (const table of loaded.querySelectorAll(".table-wrap.long > table")) tables.observe(table);
  void drawCharts(loaded);
});

labelThemeButtons();
startAges();
startExplaining();
startLive();
