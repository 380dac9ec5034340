/** Light or dark: as the system has it, unless somebody chose here. */
const dark = window.matchMedia("(prefers-color-scheme: dark)");

export function startTheme(): void {
  show(localStorage.getItem("theme") ?? systemTheme());
  dark.addEventListener("change", () => {
    if (localStorage.getItem("theme") === null) show(systemTheme());
  });
}

export function switchTheme(): void {
  const next = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  show(next);
}

function systemTheme(): string {
  return dark.matches ? "dark" : "light";
}

function show(theme: string): void {
  document.documentElement.dataset.bsTheme = theme;
}
