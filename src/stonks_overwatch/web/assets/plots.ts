// Bars and lines over time, the treemap and the map. Their data stands in the page as JSON.
import { BarChart, LineChart, MapChart, ScatterChart, TreemapChart } from "echarts/charts";
import { GridComponent, LegendComponent, TooltipComponent, VisualMapComponent } from "echarts/components";
import { init, registerMap, use, type EChartsCoreOption, type EChartsType } from "echarts/core";
import { LabelLayout } from "echarts/features";
import { CanvasRenderer } from "echarts/renderers";
import { REM, SMALL, axisNumbers, colours, dayText, follow, legible, money, monthFormat, timeAxis, tooltipLook, trueMinus, valueAxis } from "./drawing";

use([
  BarChart, LineChart, MapChart, ScatterChart, TreemapChart, GridComponent, LegendComponent, TooltipComponent,
  VisualMapComponent, LabelLayout, CanvasRenderer,
]);

/** Decimals come as strings and become floats here only to be drawn; null is unknown. */
interface Series {
  name: string;
  colour: string;
  values: (string | null)[];
  line?: boolean;
}

/** `keys` are months (2026-01), years (2026) or days (2026-01-31); those of lines are days. */
interface OverTime {
  kind: "bars" | "lines";
  unit?: "percent";
  currency: string;
  keys: string[];
  series: Series[];
}

interface Node {
  name: string;
  value: string;
  share: string;
  colour?: string;
  href?: string;
  children?: Node[];
}

interface Treemap {
  kind: "treemap";
  currency: string;
  nodes: Node[];
}

/** `id` is the number of the country in ISO 3166. */
interface WorldMap {
  kind: "map";
  currency: string;
  countries: { id: string; name: string; value: string; share: string }[];
}

/** A dividend has no price: it is drawn at the foot. */
interface Mark {
  on: string;
  kind: "buy" | "sell" | "dividend";
  price: string | null;
  quantity: string | null;
  amount: string | null;
}

interface Prices {
  kind: "prices";
  currency: string;
  keys: string[];
  values: string[];
  marks: Mark[];
}

type Plot = OverTime | Treemap | WorldMap | Prices;
type Colour = (name: string) => string;

const number = (value: string | null): number | null => (value === null ? null : Number(value));

const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 2 });

/** A value as its plot counts: money, or a fraction as percent. */
function shownValue(value: number, plot: OverTime): string {
  return plot.unit === "percent" ? trueMinus(percent.format(value)) : money(value, plot.currency);
}

function keyText(key: string): string {
  if (key.length === 4) return key;
  if (key.length === 10) return dayText(key);
  return `${monthFormat.format(new Date(`${key}-01`))} ${key.slice(0, 4)}`;
}

function overTime(plot: OverTime, colour: Colour, narrow: boolean): EChartsCoreOption {
  const muted = colour("--so-muted");
  const isBars = plot.kind === "bars";
  const known = plot.series.flatMap(({ values }) => values.flatMap((value) => number(value) ?? []));
  const onAxis = plot.unit === "percent" ? (value: number) => trueMinus(percent.format(value)) : axisNumbers(isBars ? [0, ...known] : known);
  return {
    grid: { left: 4, right: narrow ? 8 : 16, top: 2.5 * REM, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    legend: { top: 0, left: 8, itemWidth: 0.625 * REM, itemHeight: 0.625 * REM, icon: "roundRect", textStyle: { color: muted, fontSize: SMALL }, data: plot.series.map(({ name }) => name) },
    tooltip: {
      ...tooltipLook(colour),
      trigger: "axis",
      axisPointer: isBars ? { type: "shadow", shadowStyle: { color: `${muted}22` } } : { type: "line", lineStyle: { color: muted, type: "dashed" } },
      formatter: (hovered: unknown) => {
        const points = hovered as { seriesName: string; dataIndex: number }[];
        const at = points[0]?.dataIndex ?? 0;
        const lines = plot.series
          .map((one) => ({ name: one.name, value: number(one.values[at] ?? null) }))
          .filter(({ value }) => value !== 0 || !isBars)
          .map(({ name, value }) => `${name}  ${value === null ? "unknown" : shownValue(value, plot)}`);
        return [`{value|${keyText(plot.keys[at] ?? "")}}`, ...lines].join("\n");
      },
    },
    xAxis: {
      ...(isBars
        ? { type: "category", data: plot.keys, axisTick: { show: false }, axisLabel: { color: muted, fontSize: SMALL, hideOverlap: true, formatter: keyText } }
        : timeAxis(plot.keys, narrow, colour)),
      axisLine: { lineStyle: { color: colour("--so-line-strong") } },
    },
    yAxis: {
      type: "value",
      position: "right",
      scale: !isBars && plot.unit !== "percent",
      splitNumber: narrow ? 3 : 4,
      axisLabel: {
        color: muted,
        fontSize: SMALL,
        formatter: onAxis,
      },
      splitLine: { lineStyle: { color: colour("--so-line") } },
    },
    series: plot.series.map((one) => {
      const shown = colour(one.colour);
      const values = one.values.map(number);
      if (isBars && !one.line) {
        return { type: "bar", name: one.name, stack: "all", barMaxWidth: 36, itemStyle: { color: shown }, data: values };
      }
      return {
        type: "line", name: one.name, symbol: "none", connectNulls: false,
        lineStyle: { width: 2, color: shown }, itemStyle: { color: shown },
        data: isBars ? values : values.map((value, at) => [plot.keys[at], value]),
      };
    }),
  };
}

const MARKS = {
  buy: { name: "Bought", colour: "--so-gain", symbol: "triangle" },
  sell: { name: "Sold", colour: "--so-loss", symbol: "path://M0 0H10L5 9Z" },
  dividend: { name: "Dividend", colour: "--so-3", symbol: "diamond" },
} as const;

function prices(plot: Prices, colour: Colour, narrow: boolean): EChartsCoreOption {
  const muted = colour("--so-muted");
  const lowest = Math.min(...plot.values.map(Number), ...plot.marks.filter(({ price }) => price !== null).map(({ price }) => Number(price)));
  const kinds = (["buy", "sell", "dividend"] as const).filter((kind) => plot.marks.some((mark) => mark.kind === kind));
  const days = [...plot.keys, ...plot.marks.map(({ on }) => on)];
  return {
    grid: { left: 4, right: narrow ? 8 : 16, top: 2.5 * REM, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    legend: { top: 0, left: 8, itemWidth: 0.625 * REM, itemHeight: 0.625 * REM, textStyle: { color: muted, fontSize: SMALL }, data: [{ name: "Price", icon: "roundRect" }, ...kinds.map((kind) => MARKS[kind].name)] },
    tooltip: {
      ...tooltipLook(colour),
      trigger: "axis",
      axisPointer: { type: "line", lineStyle: { color: muted, type: "dashed" } },
      formatter: (hovered: unknown) => {
        const points = hovered as { seriesName: string; value: [string, number, number?] }[];
        const day = points[0]?.value[0] ?? "";
        const lines = points.map(({ seriesName, value: [, price, index] }) => {
          const mark = index === undefined ? undefined : plot.marks[index];
          if (mark === undefined) return `${seriesName}  ${money(price, plot.currency)}`;
          const quantity = mark.quantity === null ? "" : `  ${trueMinus(mark.quantity)}`;
          const amount = mark.amount === null ? "unknown" : money(Number(mark.amount), plot.currency);
          return `${seriesName}${quantity}  ${amount}`;
        });
        return [`{value|${dayText(day)}}`, ...lines].join("\n");
      },
    },
    xAxis: { ...timeAxis(days, narrow, colour), axisLine: { lineStyle: { color: colour("--so-line-strong") } } },
    yAxis: valueAxis([...plot.values, ...plot.marks.map(({ price }) => price ?? lowest)].map(Number), narrow, colour),
    series: [
      {
        type: "line", name: "Price", symbol: "none", lineStyle: { width: 2, color: colour("--so-accent") },
        itemStyle: { color: colour("--so-accent") }, data: plot.keys.map((key, at) => [key, Number(plot.values[at])]),
      },
      ...kinds.map((kind) => ({
        type: "scatter", name: MARKS[kind].name, symbol: MARKS[kind].symbol,
        symbolSize: 10, z: 3, itemStyle: { color: colour(MARKS[kind].colour), borderColor: colour("--so-surface"), borderWidth: 1 },
        data: plot.marks
          .map((mark, index) => ({ mark, index }))
          .filter(({ mark }) => mark.kind === kind)
          .map(({ mark, index }) => [mark.on, mark.price === null ? lowest : Number(mark.price), index]),
      })),
    ],
  };
}

function leaf(node: Node, colour: Colour, inherited = ""): object {
  const fill = node.colour === undefined ? inherited : colour(node.colour);
  return {
    name: node.name,
    value: Number(node.value),
    share: node.share,
    href: node.href,
    label: { color: legible(fill, [colour("--so-surface"), colour("--so-ink")]) },
    ...(node.colour === undefined ? {} : { itemStyle: { color: fill } }),
    ...(node.children === undefined ? {} : { children: node.children.map((child) => leaf(child, colour, fill)) }),
  };
}

function treemap(plot: Treemap, colour: Colour): EChartsCoreOption {
  const surface = colour("--so-surface");
  const groups = new Set(plot.nodes.map(({ name }) => name));
  return {
    tooltip: {
      ...tooltipLook(colour),
      formatter: (hovered: unknown) => {
        const { name, value, data } = hovered as { name: string; value: number; data: { share?: string } };
        return `{value|${name}}\n${money(value, plot.currency)}${data.share === undefined ? "" : `\n${data.share}`}`;
      },
    },
    series: [
      {
        type: "treemap",
        left: 0, right: 0, top: 0, bottom: 0,
        roam: false,
        nodeClick: false,
        breadcrumb: { show: false },
        label: { fontSize: SMALL, overflow: "truncate" },
        // A name cut short could be another instrument's: it is left to the tooltip.
        labelLayout: ({ text, rect: { width } }: { text: string | null; rect: { width: number } }) => {
          const needs = text === null ? 0 : groups.has(text) ? 48 : text.length * 8 + 10;
          return needs > width ? { x: -1000 } : {};
        },
        upperLabel: { show: true, ellipsis: "…", height: 1.375 * REM, fontSize: SMALL, fontWeight: 600, color: colour("--so-ink"), backgroundColor: "transparent" },
        itemStyle: { borderColor: surface, borderWidth: 1, gapWidth: 1 },
        levels: [
          { itemStyle: { borderWidth: 0, gapWidth: 3 }, upperLabel: { show: false } },
          { itemStyle: { borderColor: colour("--so-raised"), borderWidth: 3, gapWidth: 1 }, colorSaturation: undefined },
          { itemStyle: { gapWidth: 1 } },
        ],
        data: plot.nodes.map((node) => leaf(node, colour)),
      },
    ],
  };
}

// Equal Earth (Savric, Patterson, Jenny, 2018): areas keep their proportions. Radians in, units out.
const A = [1.340264, -0.081106, 0.000893, 0.003796] as const;
const M = Math.sqrt(3) / 2;

function slope(l: number): number {
  return A[0] + 3 * A[1] * l ** 2 + l ** 6 * (7 * A[2] + 9 * A[3] * l ** 2);
}

const equalEarth = {
  project([longitude, latitude]: number[]): number[] {
    const l = Math.asin(M * Math.sin(((latitude ?? 0) * Math.PI) / 180));
    const x = (((longitude ?? 0) * Math.PI) / 180) * Math.cos(l) / (M * slope(l));
    return [x * 100, -l * (A[0] + A[1] * l ** 2 + l ** 6 * (A[2] + A[3] * l ** 2)) * 100];
  },
  unproject([x, y]: number[]): number[] {
    const height = -(y ?? 0) / 100;
    let l = height;
    for (let step = 0; step < 12; step += 1) {
      l -= (l * (A[0] + A[1] * l ** 2 + l ** 6 * (A[2] + A[3] * l ** 2)) - height) / slope(l);
    }
    const longitude = (M * ((x ?? 0) / 100) * slope(l)) / Math.cos(l);
    return [(longitude * 180) / Math.PI, (Math.asin(Math.sin(l) / M) * 180) / Math.PI];
  },
};

let isMapKnown = false;

async function knowMap(): Promise<void> {
  if (isMapKnown) return;
  const { world } = await import("./world");
  registerMap("world", world as Parameters<typeof registerMap>[1]);
  isMapKnown = true;
}

function worldMap(plot: WorldMap, colour: Colour, size: { width: number; height: number }): EChartsCoreOption {
  const most = Math.max(...plot.countries.map(({ value }) => Number(value)), 0);
  const byId = new Map(plot.countries.map((country) => [country.id, country]));
  return {
    tooltip: {
      ...tooltipLook(colour),
      formatter: (hovered: unknown) => {
        const country = byId.get((hovered as { name: string }).name);
        if (country === undefined) return "";
        return `{value|${country.name}}\n${money(Number(country.value), plot.currency)}\n${country.share}`;
      },
    },
    visualMap: {
      show: false, min: 0, max: most, seriesIndex: 0,
      inRange: { color: [colour("--so-map-low"), colour("--so-accent")] },
    },
    series: [
      {
        type: "map", map: "world", nameProperty: "id", projection: equalEarth, roam: false, selectedMode: false,
        layoutCenter: ["50%", "50%"], layoutSize: Math.min(size.width, size.height * 2.1),
        itemStyle: { areaColor: colour("--so-line"), borderColor: colour("--so-surface"), borderWidth: 0.5 },
        emphasis: { label: { show: false }, itemStyle: { areaColor: colour("--so-3") } },
        label: { show: false },
        // By the root, so that one large country does not make all others pale.
        data: plot.countries.map(({ id, value }) => ({ name: id, value: Math.sqrt(Number(value) * most) })),
      },
    ],
  };
}

function paint(chart: EChartsType, place: HTMLElement, plot: Plot): void {
  const colour = colours(place);
  const narrow = place.clientWidth < 520;
  const option =
    plot.kind === "treemap" ? treemap(plot, colour)
    : plot.kind === "map" ? worldMap(plot, colour, { width: chart.getWidth(), height: chart.getHeight() })
    : plot.kind === "prices" ? prices(plot, colour, narrow)
    : overTime(plot, colour, narrow);
  const animation = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  chart.setOption(
    { useUTC: true, animation, animationDuration: 350, textStyle: { fontFamily: getComputedStyle(place).fontFamily }, ...option },
    { notMerge: true },
  );
}

/** Draws the plot whose data has the id in `data-plot`. */
export async function drawPlot(place: HTMLElement): Promise<void> {
  const source = document.getElementById(place.dataset["plot"] ?? "");
  if (source === null) return;
  const plot = JSON.parse(source.textContent ?? "") as Plot;
  if (plot.kind === "map") await knowMap();
  place.replaceChildren();
  const chart = init(place, null, { renderer: "canvas" });
  paint(chart, place, plot);
  if (plot.kind === "treemap") {
    chart.on("click", (event) => {
      const href = (event.data as { href?: string } | undefined)?.href;
      if (href !== undefined) location.assign(href);
    });
  }
  follow(chart, place, () => paint(chart, place, plot));
}
