// What all charts share: numbers as the pages write them, colours of the theme, following theme and size.
import type { EChartsType } from "echarts/core";

export const monthFormat = new Intl.DateTimeFormat("en", { month: "short", timeZone: "UTC" });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

/** The reader's size of text in pixels, which canvas does not know by itself; and that of labels. */
export const REM = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
export const SMALL = 0.75 * REM;

/** As the server writes it: 3 Jun 2026. */
export function dayText(date: string): string {
  const day = new Date(date);
  return `${day.getUTCDate()} ${monthFormat.format(day)} ${day.getUTCFullYear()}`;
}

export function trueMinus(text: string): string {
  return text.replace("-", "−");
}

export function money(value: number, currency: string): string {
  const digits = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
  const format = new Intl.NumberFormat("en", { minimumFractionDigits: digits ?? 2, maximumFractionDigits: digits ?? 2 });
  return `${trueMinus(format.format(value))} ${currency}`;
}

export function colours(place: HTMLElement): (name: string) => string {
  // Canvas understands no light-dark(): the colour is read back from an element that wears it.
  const probe = document.createElement("span");
  // A change of colour takes no time here: read half-way, it would still be the old one.
  probe.style.transitionProperty = "none";
  place.append(probe);
  const read = (name: string): string => {
    probe.style.color = `var(${name})`;
    const canvas = document.createElement("canvas").getContext("2d");
    if (canvas === null) return "#888888";
    canvas.fillStyle = getComputedStyle(probe).color;
    return canvas.fillStyle;
  };
  queueMicrotask(() => probe.remove());
  return read;
}

/** How light a colour (#rrggbb) is, as WCAG counts contrast. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Which of the colours stands out most from the background. */
export function legible(background: string, choices: [string, string]): string {
  const contrast = (choice: string): number => {
    const [dark = 0, light = 0] = [luminance(background), luminance(choice)].sort((one, other) => one - other);
    return (light + 0.05) / (dark + 0.05);
  };
  return contrast(choices[0]) >= contrast(choices[1]) ? choices[0] : choices[1];
}

/** The look of a chart's tooltip: drawn on the canvas, because the pages' policy allows no inline styles. */
export function tooltipLook(colour: (name: string) => string): object {
  return {
    renderMode: "richText",
    confine: true,
    backgroundColor: colour("--so-ink"),
    borderWidth: 0,
    padding: [8, 12],
    textStyle: {
      color: colour("--so-surface"),
      fontSize: SMALL,
      rich: {
        value: { fontSize: 0.875 * REM, fontWeight: 600, lineHeight: 1.375 * REM },
        day: { fontSize: SMALL, lineHeight: 1.125 * REM },
      },
    },
  };
}

const DAY = 86_400_000;

/** An axis of the days from the first to the last of some: years over a long time, months or days over a short one. */
export function timeAxis(keys: readonly string[], narrow: boolean, colour: (name: string) => string): object {
  const moments = keys.map((day) => Date.parse(day));
  const last = Math.max(...moments);
  const days = (last - Math.min(...moments)) / DAY;
  const step = Math.max(1, Math.ceil(days / (narrow ? 4 : 8)));
  // Of few days every so manieth: by itself the axis begins anew with each month.
  const inside = last - Math.ceil(step / 2) * DAY; // so that none is at the edge
  const shown = days < 150 ? Array.from({ length: Math.ceil(days / step) }, (_, back) => inside - back * step * DAY) : undefined;
  return {
    type: "time",
    minInterval: DAY,
    axisTick: { show: false },
    splitNumber: narrow ? 3 : 7,
    axisLabel: {
      color: colour("--so-muted"),
      fontSize: SMALL,
      hideOverlap: true,
      showMinLabel: shown !== undefined,
      showMaxLabel: shown !== undefined,
      customValues: shown,
      formatter: (at: number) => {
        const day = new Date(at);
        // Over years, only their beginnings; what lies between them would tell one year several times.
        if (days > 700) return day.getUTCMonth() === 0 ? String(day.getUTCFullYear()) : "";
        if (days < 150) return `${day.getUTCDate()} ${monthFormat.format(day)}`;
        return day.getUTCMonth() === 0 ? String(day.getUTCFullYear()) : monthFormat.format(day);
      },
    },
    splitLine: { show: false },
  };
}

/** The numbers along an axis of these values, with the digits that tell its steps apart. */
export function axisNumbers(values: readonly number[]): (value: number) => string {
  const most = Math.max(...values.map(Math.abs), 0);
  if (most >= 10_000) return (value) => trueMinus(compact.format(value));
  const span = Math.max(...values) - Math.min(...values) || most || 1;
  const digits = Math.max(0, -Math.floor(Math.log10(span / 4)));
  const format = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (value) => trueMinus(format.format(value));
}

/** An axis of amounts, at the right, from the lowest to the highest. */
export function valueAxis(values: readonly number[], narrow: boolean, colour: (name: string) => string): object {
  return {
    type: "value",
    scale: true,
    position: "right",
    splitNumber: narrow ? 3 : 4,
    axisLabel: {
      color: colour("--so-muted"),
      fontSize: SMALL,
      formatter: axisNumbers(values),
    },
    splitLine: { lineStyle: { color: colour("--so-line") } },
  };
}

/** Paints the chart again when the theme changes, and keeps its size until its place is gone. */
export function follow(chart: EChartsType, place: HTMLElement, paint: () => void): void {
  const themes = new MutationObserver(paint);
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
  const sizes = new ResizeObserver(() => {
    if (!place.isConnected) {
      themes.disconnect();
      sizes.disconnect();
      chart.dispose();
      return;
    }
    chart.resize();
  });
  sizes.observe(place);
}
