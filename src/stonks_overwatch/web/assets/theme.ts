// Sets the theme before the first paint. The choice made on this device wins over the configuration's.
const root = document.documentElement;
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function apply(): void {
  let chosen: string | null = null;
  try {
    chosen = localStorage.getItem("appearance");
  } catch {
    // Storage can be switched off in the browser; the configuration decides then.
  }
  const appearance = chosen ?? root.dataset["appearance"] ?? "auto";
  const dark = appearance === "dark" || (appearance === "auto" && prefersDark.matches);
  root.dataset["chosen"] = appearance;
  root.dataset["bsTheme"] = dark ? "dark" : "light";
}

apply();
prefersDark.addEventListener("change", apply);
document.addEventListener("appearance", apply);
