/* The list of plugins, the search, and the view of one plugin. All text goes into the page as text, never as HTML.
 * Addresses: #q=WORDS is a search, #/PROJECT a plugin. */
"use strict";

(() => {
  const FLAVOURS = [["full", "TensorRT"], ["rtx", "TensorRT-RTX"], ["lean", "TensorRT-lean"]];
  const OPS = 5; // of one plugin, in the list
  const { rows: PAGE, releases: FILES, url: PUBLISHED } = {
    rows: Number(document.body.dataset.rows),
    releases: Number(document.body.dataset.releases),
    url: document.body.dataset.url,
  };
  const $ = (id) => document.getElementById(id);
  const [search, words, list, view, count, more] = ["search", "words", "list", "plugin", "count", "more"].map($);
  const body = $("plugins").tBodies[0];
  const title = document.title;
  let plugins = [];
  let found = [];
  let shown = 0;
  let left = null; // the plugin whose view was open last: back in the list, the focus returns to it

  // -- making elements -------------------------------------------------------------------------
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.flat().filter((child) => child != null && child !== ""));
    return element;
  };
  const table = (head, lines, kind) =>
    make("div", { class: `wide ${kind}` }, make("table", {},
      make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, lines)));
  const say = (text) => { $("said").textContent = ""; requestAnimationFrame(() => { $("said").textContent = text; }); };
  const many = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  // -- what a plugin is ------------------------------------------------------------------------
  const opName = ([name, version, namespace]) => (namespace ? `${namespace}::` : "") + name;
  const range = (list) => (list.length < 2 ? list.join("") : `${list[0]}–${list[list.length - 1]}`);
  const code = (one) => {
    if (!one.sms.length && !one.ptx.length) return "any GPU";
    return [one.sms.length ? `sm ${range(one.sms)}` : "", one.ptx.length ? "PTX" : ""].filter(Boolean).join(" + ");
  };
  const badge = (text, kind) => make("li", { class: kind || false }, text);
  const badges = (one, machines) => make("ul", { class: "badges" },
    FLAVOURS.filter(([key]) => key in one.tensorrt)
      .map(([key, name]) => badge(`${name} ${one.tensorrt[key].replaceAll(",", ", ").replaceAll(">=", "≥ ")}`.trim(), "tensorrt")),
    badge(code(one), "gpu"),
    one.cuda ? badge(`CUDA ${one.cuda}`) : null,
    machines.map((machine) => badge(`Linux ${machine}`)));
  const marks = (one) => [
    one.status !== "active" ? make("strong", { class: "mark" }, one.status) : null,
    one.yanked !== false ? make("strong", { class: "mark" }, "yanked") : null,
  ];

  // -- the list --------------------------------------------------------------------------------
  const haystack = (p) => [
    p.project, p.version, p.summary, p.status, ...p.ops.map(opName), ...p.machines, p.cuda ? `cuda ${p.cuda}` : "",
    ...FLAVOURS.filter(([key]) => key in p.tensorrt).flat(),
    ...[...p.sms, ...p.ptx].flatMap((sm) => [`sm ${sm}`, `sm_${sm.replace(".", "")}`]), p.ptx.length ? "ptx" : "",
  ].join("\n").toLowerCase();

  const rank = (p, text) => {
    const names = [p.project, ...p.ops.map((op) => op[0])].map((name) => name.toLowerCase());
    if (names.includes(text)) return 0;
    if (names.some((name) => name.startsWith(text))) return 1;
    return names.some((name) => name.includes(text)) ? 2 : 3;
  };

  // Words in any order, but "sm 9.0" and "cuda 13.0" are one: they say more together.
  const terms = (text) => text.match(/\b(?:sm|cuda) \d[\d.]*|\S+/g) || [];
  const find = (text) => {
    const wanted = terms(text);
    const hits = plugins.filter((p) => wanted.every((word) => p.text.includes(word)));
    return text ? hits.map((p) => [rank(p, text), p]).sort((a, b) => a[0] - b[0]).map(([, p]) => p) : hits;
  };

  // Of many ops, those that were searched for.
  const first = (ops) => {
    const wanted = terms(words.value.trim().toLowerCase());
    const hit = (op) => wanted.some((word) => opName(op).toLowerCase().includes(word));
    return [...ops.filter(hit), ...ops.filter((op) => !hit(op))].slice(0, OPS);
  };

  const row = (p) => make("tr", { role: "row" },
    make("th", { role: "rowheader", scope: "row" },
      make("a", { href: `#/${p.project}` }, p.project), " ", make("span", { class: "version" }, p.version), marks(p),
      make("p", {}, p.summary)),
    make("td", { role: "cell" }, make("ul", { class: "ops" },
      first(p.ops).map((op) => make("li", {}, make("code", {}, opName(op)))),
      p.ops.length > OPS ? make("li", { class: "version" }, `and ${p.ops.length - OPS} more`) : null)),
    make("td", { role: "cell" }, badges(p, p.machines)));

  const showMore = () => {
    const next = found.slice(shown, shown + PAGE);
    body.append(...next.map(row));
    shown += next.length;
    more.hidden = shown >= found.length;
    more.firstElementChild.textContent = `Show ${Math.min(PAGE, found.length - shown)} more`;
  };

  const showList = (text) => {
    const typed = text.trim();
    found = find(typed.toLowerCase());
    shown = 0;
    body.replaceChildren();
    showMore();
    const all = many(plugins.length, "plugin");
    count.textContent = !typed ? all : found.length ? `${found.length.toLocaleString("en")} of ${all} for “${typed}”`
      : `No plugin for “${typed}”; try an op's name, as it stands in the ONNX model`;
  };

  // -- one plugin ------------------------------------------------------------------------------
  const pending = new Map();
  const load = (shard) => {
    if (!pending.has(shard)) {
      pending.set(shard, new Promise((resolve, reject) => {
        // Scripts of one page run one after the other, and `load` follows its script at once.
        const script = make("script", { src: `assets/releases/${shard}.js` });
        let data = [];
        script.onload = () => { data = arrived; arrived = []; resolve(data); };
        script.onerror = () => { pending.delete(shard); reject(new Error(`assets/releases/${shard}.js`)); };
        document.head.append(script);
      }));
    }
    return pending.get(shard);
  };
  let arrived = [];
  window.trtregFiles = (lines) => { arrived = lines; };

  const site = () => {
    if (location.protocol === "http:" || location.protocol === "https:") return new URL(".", location.href.split("#")[0]).href;
    return PUBLISHED || "https://INDEX/";
  };

  // For a shell: what it could take for its own is quoted.
  const quoted = (text) => (/^[\w:/.%~@+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  const copyText = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no permission, or a page that is not served securely
      const area = make("textarea", { class: "away", readonly: true });
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      button.focus();
      if (!done) { say("The browser does not let this page copy; select the text instead"); return; }
    }
    button.textContent = "Copied";
    say("Copied");
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  const copyButton = (text, what) => make("button",
    { type: "button", class: "copy", "aria-label": `Copy ${what}`, onclick: (event) => copyText(text, event.currentTarget) }, "Copy");
  const line = (label, text) => make("div", { class: "line" },
    make("span", {}, label), make("code", { tabindex: "0", role: "group", "aria-label": label }, text), copyButton(text, `the line for ${label}`));

  const counts = (pair, noun) => (pair == null ? null
    : pair[0] === pair[1] ? many(pair[0], noun) : `${pair[0]} to ${many(pair[1], noun)}`);
  const attribute = (field, fields) => {
    const aliases = fields.filter((other) => other[3] === field[0]).map((other) => other[0]);
    const type = field[2] > 1 ? `${field[1]}[${field[2]}]` : field[2] === 0 && field[1] !== "char" ? `${field[1]}[]` : field[1];
    return make("tr", {}, make("th", { scope: "row" }, make("code", {}, field[0])),
      make("td", {}, make("code", {}, type === "char" ? "string" : type)),
      make("td", {}, aliases.flatMap((name, i) => [i ? ", " : "", make("code", {}, name)])));
  };
  const op = (one) => make("section", { class: "op" },
    make("h3", {}, make("code", {}, opName([one.name, one.version, one.namespace])), " ", make("span", { class: "version" }, `version ${one.version}`)),
    make("p", {}, [counts(one.inputs, "input"), counts(one.outputs, "output")].filter(Boolean).join(", ")),
    one.fields.length
      ? table(["Attribute", "Type", "Also called"], one.fields.filter((f) => f[3] == null).map((f) => attribute(f, one.fields)), "attributes")
      : make("p", {}, "No attributes"));

  const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
  const link = (release) => {
    const url = new URL(release.url, new URL(".", location.href.split("#")[0]));
    return ["http:", "https:", "file:"].includes(url.protocol) ? url.href : null;
  };
  const release = (r) => make("tr", {},
    make("th", { scope: "row" }, r.version, marks({ status: "active", yanked: r.yanked }), r.yanked ? make("p", {}, r.yanked) : null),
    make("td", {}, make("a", { href: link(r), class: "file" }, r.file),
      make("div", { class: "hash" }, make("span", {}, "sha256"), make("code", { title: r.sha256 }, r.sha256), copyButton(r.sha256, `the SHA-256 of ${r.file}`))),
    make("td", {}, make("time", { datetime: r.uploaded }, r.uploaded.slice(0, 10))),
    make("td", { class: "number" }, size(r.size)));

  const files = (project, all) => {
    const newest = [...all].reverse();
    const part = table(["Version", "File", "Published", "Size"], newest.slice(0, FILES).map(release), "files");
    const rest = make("p", {}, make("button", { type: "button", onclick: () => {
      part.querySelector("tbody").append(...newest.slice(FILES).map(release));
      rest.remove();
      part.querySelectorAll("tbody a")[FILES].focus();
    } }, `Show all ${newest.length}`));
    return [part, newest.length > FILES ? rest : null];
  };

  const facts = (p, r) => {
    const pairs = [
      ...FLAVOURS.filter(([key]) => key in p.tensorrt).map(([key, name]) => [name, p.tensorrt[key] || "any version"]),
      ["GPU code", [p.sms.length ? `sm ${p.sms.join(", ")}` : "", p.ptx.length ? `PTX ${p.ptx.join(", ")}` : ""].filter(Boolean).join("; ") || "none: any GPU"],
      ["CUDA", p.cuda], ["Platform", `Linux ${p.machines.join(", ")}${r.glibc ? `, glibc ${r.glibc} or newer` : ""}`],
      ["Python", r.requires_python], ["Needs", r.requires.join(", ")],
    ];
    return make("dl", {}, pairs.filter(([, value]) => value).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  };

  const showPlugin = async (name) => {
    const p = plugins.find((one) => one.project === name);
    if (!p) {
      view.replaceChildren(make("h2", {}, "Not here"), make("p", {}, `This index has no plugin “${name}”.`));
      return;
    }
    const back = make("p", {}, make("a", { href: searchHash() }, "← All plugins"));
    const head = make("h2", {}, p.project, " ", make("span", { class: "version" }, p.version), marks(p));
    const install = p.status === "quarantined" ? make("p", { class: "warning" }, "In quarantine: not to be installed.") : make("div", { class: "install" },
      line("trtreg", `trtreg install ${p.project} --index ${quoted(site())}`),
      line("pip", `pip install ${p.project} --index-url ${quoted(`${site()}simple/`)}`),
      make("p", { class: "hint" }, "trtreg picks the newest release that fits the machine. pip takes all from this index: have trtreg installed before."));
    const top = [back, head, make("p", { class: "summary" }, p.summary), badges(p, p.machines), install];
    view.replaceChildren(...top, make("p", { role: "status" }, "Loading …"));
    try {
      const all = (await load(p.shard)).filter((one) => one.project === name);
      if (route().plugin !== name) return;
      const newest = all.filter((one) => one.version === p.version).pop() || all[all.length - 1];
      const sections = [
        make("h2", {}, many(newest.ops.length, "op")), newest.ops.map(op), make("h2", {}, "Works with"), facts(p, newest),
        make("h2", {}, many(all.length, "file")), files(name, all),
        make("p", {}, make("a", { href: `simple/${name}/index.html` }, "The page that installers read")),
      ];
      view.replaceChildren(...top, ...sections.flat().filter((part) => part !== null));
    } catch (error) {
      view.replaceChildren(...top, make("p", { class: "warning", role: "alert" }, `Its releases could not be loaded: ${error.message}`));
    }
  };

  // -- addresses and keys ----------------------------------------------------------------------
  const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
  const route = () => {
    const hash = location.hash.slice(1);
    return hash.startsWith("/") ? { plugin: decode(hash.slice(1)) } : { query: hash.startsWith("q=") ? decode(hash.slice(2)) : "" };
  };
  const searchHash = () => (words.value.trim() ? `#q=${encodeURIComponent(words.value.trim())}` : "#");
  const go = async () => {
    const { plugin, query } = route();
    list.hidden = plugin !== undefined;
    view.hidden = plugin === undefined;
    document.title = plugin ? `${plugin} · ${title}` : title;
    if (plugin !== undefined) {
      left = plugin;
      scrollTo(0, 0);
      const shownPlugin = showPlugin(plugin);
      view.setAttribute("aria-label", plugin);
      view.focus({ preventScroll: true });
      await shownPlugin;
      return;
    }
    if (words.value.trim() !== query) words.value = query;
    showList(words.value);
    if (left !== null) {
      const link = [...body.querySelectorAll("th a")].find((a) => a.textContent === left);
      (link || words).focus();
      left = null;
    }
  };

  words.addEventListener("input", () => {
    try {
      history.replaceState(null, "", searchHash());
    } catch { /* some browsers allow so many in a minute; the address may lag behind */ }
    showList(words.value);
  });
  search.addEventListener("submit", (event) => {
    event.preventDefault();
    if (found.length) location.hash = `#/${found[0].project}`;
  });
  more.firstElementChild.addEventListener("click", () => {
    const next = shown;
    showMore();
    body.querySelectorAll("th a")[next].focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      if (list.hidden) { left = null; location.hash = searchHash(); go(); }
      words.focus();
      words.select();
    } else if (event.key === "Escape") {
      if (route().plugin !== undefined) location.hash = searchHash();
      else if (words.value) { words.value = ""; words.dispatchEvent(new Event("input")); words.focus(); }
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !list.hidden) {
      const links = [...body.querySelectorAll("th a")];
      const at = links.indexOf(document.activeElement);
      if (at < 0 && document.activeElement !== words) return;
      event.preventDefault();
      const to = at + (event.key === "ArrowDown" ? 1 : -1);
      if (to < 0) words.focus();
      else if (links[to]) links[to].focus();
      else if (event.key === "ArrowDown" && !more.hidden) more.firstElementChild.focus();
    }
  });

  window.trtregList = (lines) => {
    plugins = lines.map((p) => ({ ...p, text: haystack(p) }));
    search.hidden = false;
    addEventListener("hashchange", go);
    go();
  };
})();
