// The value chart: a line over time with buttons for the range. Its data stands in the page as JSON.
import { LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { init, use, type EChartsType } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { colours, dayText, follow, money, timeAxis, tooltipLook, trueMinus, valueAxis } from "./drawing";

use([LineChart, GridComponent, TooltipComponent, CanvasRenderer]);

/** Decimals come as strings and become floats here only to be drawn; null is a day without a value. */
interface Series {
  currency: string;
  dates: string[];
  values: (string | null)[];
}

interface Point {
  date: string;
  value: number | null;
}

const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** The first day of a range that ends on `last`; undefined for all days. */
function rangeStart(range: string, last: string): string | undefined {
  const start = new Date(`${last}T00:00:00Z`);
  const day = start.getUTCDate();
  const months: Record<string, number> = { "1m": 1, "3m": 3, "6m": 6, "1y": 12, "3y": 36, "5y": 60 };
  if (range === "ytd") return `${start.getUTCFullYear() - 1}-12-31`;
  const back = months[range];
  if (back === undefined) return undefined;
  start.setUTCMonth(start.getUTCMonth() - back);
  if (start.getUTCDate() !== day) start.setUTCDate(0);
  return start.toISOString().slice(0, 10);
}

function paint(chart: EChartsType, place: HTMLElement, points: Point[], currency: string): void {
  const colour = colours(place);
  const line = colour("--so-accent");
  const muted = colour("--so-muted");
  const narrow = place.clientWidth < 520;
  const reduced = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const first = points[0]?.date ?? "";
  const last = points.at(-1)?.date ?? "";
  const data = points.map(({ date, value }): [string, number | null] => [date, value]);

  chart.setOption(
    {
      animation: !reduced,
      useUTC: true,
      animationDuration: 350,
      animationDurationUpdate: 250,
      grid: { left: 4, right: narrow ? 8 : 16, top: 16, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      textStyle: { fontFamily: getComputedStyle(place).fontFamily },
      tooltip: {
        ...tooltipLook(colour),
        trigger: "axis",
        axisPointer: { type: "line", lineStyle: { color: muted, type: "dashed" } },
        formatter: (hovered: unknown) => {
          const point = (hovered as { value: [string, number | null] }[]).at(-1);
          if (point === undefined) return "";
          const [date, value] = point.value;
          const shown = value === null ? "unknown" : money(value, currency);
          return `{value|${shown}}\n{day|${dayText(date)}}`;
        },
      },
      xAxis: { ...timeAxis([first, last], narrow, colour), min: first, max: last, axisLine: { show: false } },
      yAxis: valueAxis(points.flatMap(({ value }) => value ?? []), narrow, colour),
      series: [
        {
          // Across the days whose value is not known.
          type: "line",
          silent: true,
          symbol: "none",
          connectNulls: true,
          lineStyle: { width: 1.5, color: muted, type: [4, 4] },
          data: data.some(([, value]) => value === null) ? data : [],
        },
        {
          type: "line",
          showSymbol: points.length === 1,
          symbolSize: 7,
          connectNulls: false,
          sampling: "lttb",
          lineStyle: { width: 2, color: line },
          itemStyle: { color: line },
          areaStyle: {
            origin: "start",
            color: {
              type: "linear", x: 0, y: 0, x2: 0, y2: 1,
              colorStops: [{ offset: 0, color: `${line}38` }, { offset: 1, color: `${line}00` }],
            },
          },
          data,
        },
      ],
    },
    { notMerge: false, replaceMerge: ["series"] },
  );
}

/** What changed over the range, in words: deposits and withdrawals are part of it. */
function describe(points: Point[], currency: string): string {
  const known = points.filter((point): point is { date: string; value: number } => point.value !== null);
  const start = known[0];
  const end = known.at(-1);
  if (start === undefined || end === undefined || start === end) return "";
  const change = end.value - start.value;
  const sign = change > 0 ? "+" : "";
  const share = start.value > 0 ? ` (${sign}${trueMinus(percent.format(change / start.value))})` : "";
  const gaps = known.length < points.length ? "; dashed where no value is known" : "";
  return `${sign}${money(change, currency)}${share} since ${dayText(start.date)}${gaps}`;
}

/** Draws the chart in `place`, wires the range buttons of its card and follows theme and size. */
export function drawValueChart(place: HTMLElement): void {
  const source = document.getElementById(place.dataset["chart"] ?? "");
  const card = place.closest(".card");
  if (source === null || card === null) return;
  const series = JSON.parse(source.textContent ?? "") as Series;
  const points: Point[] = series.dates.map((date, day) => {
    const value = series.values[day] ?? null;
    return { date, value: value === null ? null : Number(value) };
  });
  // The chart begins with the first value there is.
  const all = points.slice(points.findIndex(({ value }) => value !== null));
  const lastDay = all.at(-1)?.date;
  if (lastDay === undefined) return;

  place.replaceChildren();
  const chart = init(place, null, { renderer: "canvas" });
  const change = card.querySelector<HTMLElement>("[data-change]");
  const buttons = [...card.querySelectorAll<HTMLButtonElement>("button[data-range]")];
  let shown = all;

  const choose = (range: string): void => {
    const start = rangeStart(range, lastDay);
    const within = start === undefined ? all : all.filter(({ date }) => date >= start);
    shown = within.length > 1 ? within : all;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset["range"] === range));
    if (change !== null) change.textContent = describe(shown, series.currency);
    paint(chart, place, shown, series.currency);
  };

  const firstDay = all[0]?.date ?? lastDay;
  for (const button of buttons) {
    const range = button.dataset["range"] ?? "all";
    const start = rangeStart(range, lastDay);
    // A range longer than the history would show the same as "All".
    button.hidden = start !== undefined && start < firstDay;
    button.addEventListener("click", () => {
      const address = new URL(location.href);
      address.searchParams.set("range", range);
      history.replaceState(history.state, "", address);
      choose(range);
    });
  }
  const asked = new URLSearchParams(location.search).get("range") ?? "1y";
  const offered = buttons.find((button) => button.dataset["range"] === asked && !button.hidden);
  choose(offered ? asked : "all");
  card.querySelector<HTMLElement>("[data-ranges]")?.removeAttribute("hidden");

  follow(chart, place, () => paint(chart, place, shown, series.currency));
}
