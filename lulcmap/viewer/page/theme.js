// Dark or light: as the system is, until the user chooses.

const KEY = "lulcmap-theme";

export function startTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // pages of files may have no storage
    }
  };
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
  };
  const now = () => kept() ?? (system.matches ? "dark" : "light");
  apply(now());
  system.addEventListener("change", () => apply(now()));
  const turn = () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // it then holds until the page is closed
    }
    apply(theme);
  };
  button.addEventListener("click", turn);
  return turn;
}
