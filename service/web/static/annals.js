// Makes pages nicer to use. All of them work without.
(() => {
  "use strict";
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];
  const keep = (name, value) => {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax${secure}`;
  };

  // Times are shown in the zone of the reader, which the server learns by a cookie.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const shown = document.cookie.match(/(?:^|; )tz=([^;]*)/)?.[1];
  if (zone && shown !== zone) {
    keep("tz", zone);
    if (shown === undefined && zone !== "UTC" && document.querySelector("time")) location.reload();
  }

  // A link that signs in has its token in the fragment, which no server and no log sees.
  const token = document.querySelector("[data-fragment]");
  if (token) {
    token.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
  }

  const begin = () => {
    for (const button of document.querySelectorAll("[data-theme-next], [data-copy]")) button.hidden = false;
  };

  document.addEventListener("click", event => {
    const theme = event.target.closest("[data-theme-next]");
    if (theme) {
      const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
      root.dataset.theme = next;
      for (const button of document.querySelectorAll("[data-theme-next]")) button.textContent = `Theme: ${next}`;
      keep("theme", next);
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      navigator.clipboard?.writeText(copy.dataset.copy).then(
        () => { copy.textContent = "Copied"; },
        () => { copy.textContent = "Mark it, and copy it"; },
      );
    }
  });

  // A form is sent once: the answer to a second click would hide the first, which may show a new key.
  document.addEventListener("submit", event => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
  });

  document.addEventListener("keydown", event => {
    const isTyping = event.target.matches("input, select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
    const field = event.key === "/" && document.querySelector("[data-find]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
    const step = { n: 1, p: -1 }[event.key];
    const stops = [...document.querySelectorAll("[data-stop]")];
    if (step && stops.length) {
      const at = stops.indexOf(document.activeElement);
      const next = stops[at < 0 && step < 0 ? stops.length - 1 : (at + step + stops.length) % stops.length];
      next.focus();
      next.scrollIntoView({ block: "center" });
    }
  });

  // A part of a page that did not come is told where it would stand.
  document.addEventListener("htmx:error", event => {
    const place = event.detail?.ctx?.target;
    if (!place?.prepend || place.querySelector("[data-failed]")) return;
    const said = document.createElement("p");
    said.className = "fault";
    said.dataset.failed = "";
    said.setAttribute("role", "alert");
    said.textContent = "The server did not answer. Load the page again.";
    place.prepend(said);
  });

  // What differs is seen at once in a drawing that is wider than the page.
  for (const box of document.querySelectorAll(".graph-box")) {
    const node = box.querySelector(".node:is(.added, .removed, .changed)");
    if (node) box.scrollLeft += node.getBoundingClientRect().left - box.getBoundingClientRect().left - 24;
  }

  begin();
  document.addEventListener("htmx:after:swap", begin);
})();
