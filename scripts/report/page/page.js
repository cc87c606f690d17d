"use strict";

// Light or dark: the system's choice, until the reader makes one. Pages opened from a disk may have no storage.
const root = document.documentElement;
const storage = {
  read() { try { return localStorage.getItem("theme"); } catch { return null; } },
  write(value) { try { localStorage.setItem("theme", value); } catch { /* It holds for this visit. */ } },
};
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const setTheme = () => { root.dataset.theme = storage.read() || (systemIsDark.matches ? "dark" : "light"); };
setTheme();
systemIsDark.addEventListener("change", setTheme);
document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  storage.write(root.dataset.theme);
});

// Sorting: numbers from high to low at first, words from A to Z. Cells without a value stay at the end.
function sortBy(header) {
  const table = header.closest("table");
  const place = [...header.parentNode.children].indexOf(header);
  const body = table.tBodies[0];
  const value = (row) => row.children[place].dataset.value;
  const rows = [...body.rows];
  const known = rows.filter((row) => value(row) !== "");
  const numbers = known.every((row) => !Number.isNaN(Number(value(row))));
  const before = header.getAttribute("aria-sort");
  const first = numbers ? "descending" : "ascending";
  const order = before === first ? (numbers ? "ascending" : "descending") : first;
  const compare = (a, b) => (numbers ? value(a) - value(b) : value(a).localeCompare(value(b)));
  known.sort((a, b) => (order === "ascending" ? compare(a, b) : compare(b, a)));
  body.append(...known, ...rows.filter((row) => value(row) === ""));
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
}
for (const button of document.querySelectorAll(".sort")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

// The rows that the diagrams show.
for (const button of document.querySelectorAll(".toggle")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    for (const line of document.querySelectorAll(".chart [data-series]")) {
      if (line.dataset.series === button.dataset.series) line.classList.toggle("hidden", !shown);
    }
  });
}

// A picture is decoded only when it is about to come into sight, so that many of them cost nothing at first.
const addresses = new Map();
function address(number) {
  if (!addresses.has(number)) {
    const text = document.getElementById(`picture-${number}`);
    const bytes = Uint8Array.from(atob(text.textContent), (letter) => letter.charCodeAt(0));
    addresses.set(number, URL.createObjectURL(new Blob([bytes], { type: text.dataset.kind })));
  }
  return addresses.get(number);
}
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    sight.unobserve(entry.target);
    for (const image of entry.target.querySelectorAll("img[data-picture]")) image.src = address(image.dataset.picture);
  }
}, { rootMargin: "400px" });
for (const viewer of document.querySelectorAll(".viewer")) sight.observe(viewer);

// One slider for all pictures of a scene; a picture can be dragged, too.
for (const scene of document.querySelectorAll(".scene")) {
  const slider = scene.querySelector("input[type=range]");
  const split = (share) => {
    slider.value = share;
    scene.style.setProperty("--split", `${share}%`);
  };
  slider.addEventListener("input", () => split(slider.value));
  for (const stack of scene.querySelectorAll(".slides")) {
    const follow = (event) => {
      if (!event.buttons) return;
      const box = stack.getBoundingClientRect();
      split(Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width)));
    };
    stack.addEventListener("pointerdown", follow);
    stack.addEventListener("pointermove", follow);
    stack.addEventListener("dragstart", (event) => event.preventDefault());
  }
}
document.getElementById("left")?.addEventListener("change", (event) => {
  document.querySelector("main").classList.toggle("left-is-picture", event.target.value === "picture");
  for (const words of document.querySelectorAll(".left-words")) words.textContent = event.target.value;
});
