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

  // A chart says what is under the pointer, from its own table; a drag over one chooses its time.
  const follow = chart => {
    const plot = chart.querySelector(".plot");
    const rows = [...chart.querySelectorAll("tr[data-at]")];
    if (!plot || !rows.length || plot.dataset.followed) return;
    plot.dataset.followed = "yes";
    const names = [...chart.querySelectorAll("thead th")].map(each => each.textContent);
    const hair = plot.querySelector(".hair"), swept = plot.querySelector(".swept");
    const tip = plot.parentElement.appendChild(document.createElement("div"));
    tip.className = "tip";
    tip.hidden = true;
    let from = null;
    const at = event => {
      const box = plot.getBoundingClientRect();
      return Math.max(0, Math.min(rows.length - 1, Math.floor((event.clientX - box.left) / box.width * rows.length)));
    };
    const end = () => {
      from = null;
      for (const each of [hair, swept, tip]) each.toggleAttribute("hidden", true);
    };
    plot.addEventListener("pointermove", event => {
      const place = at(event), x = 100 * (place + .5) / rows.length;
      for (const name of ["x1", "x2"]) hair.setAttribute(name, `${x}%`);
      hair.removeAttribute("hidden");
      if (from !== null) {
        swept.setAttribute("x", `${100 * Math.min(from, place) / rows.length}%`);
        swept.setAttribute("width", `${100 * (Math.abs(place - from) + 1) / rows.length}%`);
        swept.removeAttribute("hidden");
      }
      tip.replaceChildren(...[...rows[place].cells].map((cell, number) => {
        const line = document.createElement(number ? "div" : "b");
        line.textContent = (number ? `${names[number]}: ` : "") + cell.textContent;
        return line;
      }));
      // On the other side of the pointer.
      tip.classList.toggle("left", x > 50);
      tip.hidden = false;
    });
    plot.addEventListener("pointerleave", () => { if (from === null) end(); });
    plot.addEventListener("pointercancel", end);
    plot.addEventListener("pointerdown", event => {
      if (event.button || chart.dataset.zoom === undefined) return;
      event.preventDefault();
      from = at(event);
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointerup", event => {
      if (from === null) return;
      const [first, last] = [from, at(event)].sort((one, other) => one - other);
      const isDrag = first !== last;
      end();
      if (!isDrag) return;
      const address = new URL(location.href);
      for (const name of ["range", "cursor", "anchor", "done"]) address.searchParams.delete(name);
      address.searchParams.set("since", rows[first].dataset.at);
      // The last instant before the next column, since both ends belong to the time.
      const next = rows[last + 1] && new Date(new Date(rows[last + 1].dataset.at) - 1);
      if (next) address.searchParams.set("until", next.toISOString().replace("Z", "999Z"));
      location.assign(address);
    });
  };
  const followAll = () => document.querySelectorAll(".chart").forEach(follow);

  begin();
  followAll();
  document.addEventListener("htmx:after:swap", () => { begin(); followAll(); });
})();
