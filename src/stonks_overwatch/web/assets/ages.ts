// Keeps "12 min ago" true while a page stays open.
const steps: [limit: number, unit: number, name: string][] = [
  [3600, 60, "min"],
  [48 * 3600, 3600, "h"],
  [Infinity, 86400, "days"],
];

/** The same words as the filter `age` writes on the server. */
export function age(seconds: number): string {
  if (seconds < 60) return "just now";
  const [, unit, name] = steps.find(([limit]) => seconds < limit) ?? [0, 86400, "days"];
  return `${Math.floor(seconds / unit)} ${name} ago`;
}

function refresh(): void {
  for (const time of document.querySelectorAll<HTMLTimeElement>("time[data-age]")) {
    time.textContent = age((Date.now() - Date.parse(time.dateTime)) / 1000);
  }
}

export function startAges(): void {
  refresh();
  setInterval(refresh, 20_000);
  document.addEventListener("htmx:afterSettle", refresh);
}
