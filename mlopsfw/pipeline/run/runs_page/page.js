"use strict";
{
  const { columns, rows, linked, folder, step } = JSON.parse(document.getElementById("data").textContent);
  const [body, count, more, input] = ["tbody", "#count", "#more", "input"].map((each) => document.querySelector(each));
  const heads = [...document.querySelectorAll("thead th")];
  const links = new Set(linked);
  const texts = rows.map((row) => row.map(text));
  const words = texts.map((row) => row.join(" ").toLowerCase());
  let found = rows.map((_, number) => number), sorted = found, shown = step, by = -1, down = false;

  function text(value) {
    if (value === null) return "";
    if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
    return typeof value === "string" ? value : JSON.stringify(value);
  }
  function compare(a, b) {
    const numbers = [a, b].map((value) => typeof value === "number");
    if (numbers[0] && numbers[1]) return a - b;
    if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
    return text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0;
  }
  function column(name) {
    return columns.findIndex((each) => each === name || each.endsWith("." + name));
  }
  const tests = { "<": (n) => n < 0, "<=": (n) => n <= 0, ">": (n) => n > 0, ">=": (n) => n >= 0, "=": (n) => n === 0, "==": (n) => n === 0, "!=": (n) => n !== 0 };
  const part = /^(?:<=|>=|!=|==|<|>|=)|(?:<=|>=|!=|==|<|>|=)$|[^<>=!](?:<=|>=|!=|==|<|>|=)[<>=!]/;
  const isCondition = (word) => word !== undefined && /^[^<>=!]+(<=|>=|!=|==|<|>|=)[^<>=!]/.test(word);
  function condition(word) {
    const parts = /^([^<>=!]+)(<=|>=|!=|==|<|>|=)([^<>=!].*)$/s.exec(word);
    if (!parts && part.test(word)) return null;
    if (!parts) return (number) => words[number].includes(word.toLowerCase());
    const at = column(parts[1]), test = tests[parts[2]], wanted = parts[3], limit = Number(wanted);
    if (at < 0) return null;
    return (number) => {
      const value = rows[number][at];
      if (value === null) return false;
      return test(typeof value === "number" && !Number.isNaN(limit) ? value - limit : compare(text(value), wanted));
    };
  }
  function filter() {
    const joined = input.value.replace(/("[^"]*"|'[^']*')|\s*(<=|>=|!=|==|<|>|=)\s*/g, "$1$2");
    const pieces = joined.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) || [];
    const beside = (at) => isCondition(pieces[at - 1]) || isCondition(pieces[at + 1]);
    const given = pieces.filter((word, at) => !(word.toLowerCase() === "and" && beside(at)));
    const refused = pieces.some((word, at) => word.toLowerCase() === "or" && beside(at));
    const conditions = given.map((word) => condition(word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2")));
    if (refused) conditions.push(null);
    input.classList.toggle("wrong", conditions.includes(null));
    found = rows.map((_, number) => number).filter((number) => conditions.every((each) => each === null || each(number)));
    sort();
  }
  function sort() {
    sorted = found;
    if (by >= 0) {
      const having = found.filter((number) => rows[number][by] !== null);
      having.sort((a, b) => (down ? -1 : 1) * compare(rows[a][by], rows[b][by]));
      sorted = [...having, ...found.filter((number) => rows[number][by] === null)];
    }
    shown = step;
    show();
  }
  function cell(value, address) {
    const made = document.createElement("td"), inner = address ? made.appendChild(document.createElement("a")) : made;
    if (address) inner.href = address;
    inner.textContent = value;
    return made;
  }
  function show() {
    body.replaceChildren(...sorted.slice(0, shown).map((number) => {
      const line = document.createElement("tr"), run = texts[number][0];
      const address = links.has(number) ? encodeURI(folder) + "/" + encodeURIComponent(run) + ".html" : "";
      line.append(...texts[number].map((value, at) => cell(value, at ? "" : address)));
      return line;
    }));
    more.hidden = shown >= sorted.length;
    count.textContent = `${sorted.length} of ${rows.length} runs` + (more.hidden ? "" : `, ${shown} shown`);
    heads.forEach((head, at) => (at === by ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
  }
  heads.forEach((head, at) => head.firstChild.addEventListener("click", () => {
    down = at === by ? !down : typeof (rows.find((row) => row[at] !== null) || [])[at] === "number";
    by = at;
    sort();
  }));
  input.addEventListener("input", filter);
  more.addEventListener("click", () => { shown += 10 * step; show(); });
  const hash = decodeURIComponent(location.hash.slice(1));
  input.value = hash;
  filter();
}
