// Shows the OpenAPI document that lies beside this page. Everything it shows goes in as text, never as HTML.
"use strict";

(async () => {
  const main = document.getElementById("top");
  const nav = document.getElementById("nav");
  const methods = ["get", "put", "post", "patch", "delete", "head"];
  let doc;

  // el makes an element; strings among its children become text.
  function el(name, attributes, ...children) {
    const e = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
    e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== ""));
    return e;
  }

  // text turns `code` into elements and leaves everything else as it is.
  function text(s) {
    return (s || "").split("`").map((part, i) => (i % 2 ? el("code", null, part) : part));
  }

  const paragraphs = (s) => (s || "").split("\n\n").filter(Boolean).map((p) => el("p", null, text(p)));
  const nameOf = (ref) => ref.split("/").pop();

  function follow(node) {
    while (node && node.$ref) {
      node = node.$ref.slice(2).split("/").reduce((at, key) => at[key.replace(/~1/g, "/").replace(/~0/g, "~")], doc);
    }
    return node;
  }

  // typeOf is a schema in a few words; a named one is a link to where it is shown.
  function typeOf(schema) {
    if (!schema) return ["anything"];
    if (schema.$ref) return [el("a", { href: "#schema-" + nameOf(schema.$ref) }, nameOf(schema.$ref))];
    if (schema.anyOf) {
      const common = schema.type ? schema.type + ": " : "";
      return [common, ...schema.anyOf.flatMap((s, i) => [i ? " or " : "", ...(s.type || s.$ref ? typeOf(s) : [s.format])])];
    }
    if (schema.enum) return schema.enum.flatMap((v, i) => [i ? " | " : "", el("code", null, JSON.stringify(v))]);
    if (schema.const !== undefined) return [el("code", null, JSON.stringify(schema.const))];
    const type = [].concat(schema.type || "anything").join(" or ");
    if (schema.type === "array") return ["array of ", ...typeOf(schema.items)];
    if (schema.additionalProperties && schema.additionalProperties !== true) return ["object of ", ...typeOf(schema.additionalProperties)];
    return [schema.format ? `${type} (${schema.format})` : type];
  }

  function bounds(schema) {
    const s = follow(schema) || {};
    const words = [];
    if (s.minimum !== undefined) words.push("≥ " + s.minimum.toLocaleString("en"));
    if (s.maximum !== undefined) words.push("≤ " + s.maximum.toLocaleString("en"));
    if (s.minLength || s.maxLength) words.push(`${s.minLength || 0} to ${(s.maxLength || "any").toLocaleString("en")} characters`);
    if (s.minItems) words.push(`at least ${s.minItems}`);
    if (s.pattern) words.push(s.pattern);
    if (s.default !== undefined) words.push("default " + JSON.stringify(s.default));
    return words.join(", ");
  }

  const cellOf = (schema, ...more) => el("td", null, typeOf(schema), bounds(schema) ? el("div", { class: "soft" }, bounds(schema)) : null, ...more);

  function table(heads, rows) {
    return el("div", { class: "scroll" }, el("table", null, el("thead", null, el("tr", null, heads.map((h) => el("th", { scope: "col" }, h)))), el("tbody", null, rows)));
  }

  // members shows an object's properties; objects within arrays are shown in place.
  function members(schema, prefix = "") {
    return Object.entries(schema.properties || {}).flatMap(([name, property]) => {
      const required = (schema.required || []).includes(name);
      const row = el("tr", null, el("td", null, el("code", required ? { class: "required" } : null, prefix + name)), cellOf(property), el("td", null, paragraphs(property.description)));
      const inner = property.items && property.items.properties ? members(property.items, prefix + name + "[].") : [];
      return [row, ...inner];
    });
  }

  function schemaView(schema) {
    if (schema.properties) return table(["member", "type", "meaning"], members(schema));
    return el("p", null, typeOf(schema), bounds(schema) ? el("span", { class: "soft" }, " " + bounds(schema)) : null);
  }

  const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

  function examplesOf(media) {
    const all = Object.values(media.examples || {}).map(follow);
    if (media.example !== undefined) all.push({ value: media.example });
    return all;
  }

  function contentView(content) {
    return Object.entries(content || {}).flatMap(([type, media]) => [
      el("p", null, el("code", null, type), " ", typeOf(media.schema), media["x-line-schema"] ? [", one ", ...typeOf(media["x-line-schema"]), " a line"] : null),
      ...examplesOf(media).flatMap((e) => [e.summary ? el("p", { class: "soft" }, e.summary) : null, el("pre", null, shown(e.value))]).filter(Boolean),
    ]);
  }

  function headersView(headers) {
    const rows = Object.entries(headers || {}).map(([name, h]) => {
      h = follow(h);
      return el("tr", null, el("td", null, el("code", h.required ? { class: "required" } : null, name)), el("td", null, text(h.description)), el("td", null, h.example === undefined ? "" : el("code", null, String(h.example))));
    });
    return rows.length ? table(["header", "meaning", "example"], rows) : null;
  }

  const responseView = ([status, response]) => {
    response = follow(response);
    return el("details", null, el("summary", null, el("b", null, status), " ", text(response.description)), headersView(response.headers), contentView(response.content));
  };

  // curl is the operation as a command.
  function curl(method, path, op, parameters) {
    let url = location.origin + path;
    for (const p of parameters) {
      if (p.in === "path") url = url.replace(`{${p.name}}`, encodeURIComponent(p.example));
    }
    const words = ["curl"];
    if (method === "head") words.push("--head");
    else if (method !== "get") words.push("-X " + method.toUpperCase());
    words.push(url);
    if (!op.security || op.security.length) words.push("\\\n  -H 'Authorization: Bearer YOUR_KEY'");
    const body = follow(op.requestBody);
    if (body) {
      const [type, media] = Object.entries(body.content)[0];
      words.push(`\\\n  -H 'Content-Type: ${type}'`);
      const example = examplesOf(media)[0];
      if (example) words.push(`\\\n  -d '${JSON.stringify(example.value).replace(/'/g, "'\\''")}'`);
    }
    return words.join(" ");
  }

  function operationView(method, path, item) {
    const op = item[method];
    const parameters = [...(item.parameters || []), ...(op.parameters || [])].map(follow);
    const scope = op.security && op.security.length ? Object.values(op.security[0])[0][0] : "";
    const rows = parameters.map((p) =>
      el("tr", null, el("td", null, el("code", p.required ? { class: "required" } : null, p.name), el("div", { class: "soft" }, p.in)), cellOf(p.schema), el("td", null, paragraphs(p.description))));
    const body = follow(op.requestBody);
    return el("section", { class: "item", id: op.operationId, "data-words": `${method} ${path} ${op.summary} ${op.description || ""}`.toLowerCase() },
      el("h3", null, el("span", { class: "method " + method }, method.toUpperCase()), el("code", null, path)),
      el("p", null, el("b", null, op.summary)),
      paragraphs(op.description),
      el("p", { class: "soft" }, scope ? ["Needs a key with the scope ", el("code", null, scope), "."] : "Needs no key."),
      rows.length ? [el("h4", null, "Parameters"), table(["name", "type", "meaning"], rows)] : null,
      body ? [el("h4", null, "Body"), contentView(body.content)] : null,
      el("h4", null, "Command"), el("pre", null, curl(method, path, op, parameters)),
      el("h4", null, "Answers"), Object.entries(op.responses).map(responseView));
  }

  // group puts items below a heading on the page, and links to them below another one in the navigation.
  function group(id, heading, items, title, links) {
    main.append(el("div", { class: "group", id }, el("h2", null, heading), items));
    nav.append(el("div", { class: "group" }, el("h2", null, title), links));
  }

  function show() {
    document.title = doc.info.title + " API";
    main.append(el("h1", null, doc.info.title + " API"), el("p", null, text(doc.info.summary)), ...paragraphs(doc.info.description));
    for (const tag of doc.tags) {
      const items = [], links = [];
      for (const [path, item] of Object.entries(doc.paths)) {
        for (const method of methods.filter((m) => item[m] && item[m].tags.includes(tag.name))) {
          items.push(operationView(method, path, item));
          links.push(el("a", { href: "#" + item[method].operationId, "data-words": `${method} ${path} ${item[method].summary}`.toLowerCase() },
            el("span", { class: "method " + method }, method.toUpperCase()), path));
        }
      }
      group("tag-" + tag.name, tag.description, items, tag.name, links);
    }
    const items = [], links = [];
    for (const [name, schema] of Object.entries(doc.components.schemas)) {
      items.push(el("section", { class: "item", id: "schema-" + name, "data-words": name.toLowerCase() }, el("h3", null, el("code", null, name)), paragraphs(schema.description), schemaView(schema)));
      links.push(el("a", { href: "#schema-" + name, "data-words": name.toLowerCase() }, name));
    }
    group("schemas", "Schemas", items, "schemas", links);
  }

  document.getElementById("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const e of document.querySelectorAll("[data-words]")) e.hidden = wanted !== "" && !e.dataset.words.includes(wanted);
    for (const e of document.querySelectorAll(".group")) e.hidden = !e.querySelector("[data-words]:not([hidden])");
  });

  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`openapi.json: status ${answer.status}`);
    doc = await answer.json();
    show();
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) target.scrollIntoView();
  } catch (err) {
    main.append(el("p", { role: "alert" }, "The document can't be shown: " + err.message));
  }
})();
