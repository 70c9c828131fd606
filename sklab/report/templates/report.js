// Sorting and hiding columns of the table, and opening a cell's runs. Without it all of the table is there.
(function () {
  "use strict";
  var table = document.querySelector("table.main");
  var body = table.tBodies[0], heads = Array.from(table.tHead.rows[1].cells);
  var pairs = [];
  for (var at = 0; at < body.rows.length; at += 2) pairs.push([body.rows[at], body.rows[at + 1]]);

  // The columns that each cell stands over, before any is hidden.
  var spans = new Map();
  Array.from(table.tHead.rows).concat(Array.from(body.children)).forEach(function (row) {
    var column = 0;
    Array.from(row.cells).forEach(function (cell) {
      spans.set(cell, [column, column += cell.colSpan]);
    });
  });

  function value(row, column) {
    var cell = Array.from(row.cells).find(function (one) { return spans.get(one)[0] === column; });
    var found = cell && cell.colSpan === 1 ? cell.textContent.replace(/[,†>]/g, "").replace("−", "-").trim() : "";
    var number = found.startsWith("<") ? 0 : parseFloat(found);
    return heads[column].classList.contains("num") ? (isNaN(number) ? null : number) : found.toLowerCase() || null;
  }

  function sort(column, direction) {
    var keyed = pairs.map(function (pair, place) { return { pair: pair, place: place, key: value(pair[0], column) }; });
    keyed.sort(function (a, b) {
      if (direction === "none" || a.key === b.key) return a.place - b.place;
      if (a.key === null || b.key === null) return a.key === null ? 1 : -1;
      return (a.key < b.key ? -1 : 1) * (direction === "ascending" ? 1 : -1);
    });
    keyed.forEach(function (one) { body.append(one.pair[0], one.pair[1]); });
    heads.forEach(function (head, place) { head.setAttribute("aria-sort", place === column ? direction : "none"); });
  }

  function hide(hidden) {
    spans.forEach(function (span, cell) {
      var shown = 0;
      for (var column = span[0]; column < span[1]; column++) shown += hidden.has(column) ? 0 : 1;
      cell.hidden = shown === 0;
      cell.colSpan = Math.max(shown, 1);
    });
  }

  heads.forEach(function (head, column) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.title = head.title + " Click to sort.";
    head.removeAttribute("title");
    head.replaceChildren(button);
    button.addEventListener("click", function () {
      var next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] || "ascending";
      sort(column, next);
    });
  });

  var hidden = new Set(), choice = document.createElement("details"), summary = document.createElement("summary");
  choice.className = "choice";
  choice.append(summary);

  function choose(column, shown) {
    hidden[shown ? "delete" : "add"](column);
    hide(hidden);
    summary.textContent = "Columns: " + (heads.length - hidden.size) + " of " + heads.length + " shown";
  }

  var boxes = heads.map(function (head, column) {
    var label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", function () { choose(column, box.checked); });
    label.append(box, " " + head.dataset.title);
    if (column) choice.append(label);
    return box;
  });
  choose(0, true);

  // A table wider than the page begins with the columns that matter most: without the extra ones, then without factors.
  ["extra", "factor"].forEach(function (kind) {
    if (table.parentElement.scrollWidth <= table.parentElement.clientWidth) return;
    heads.forEach(function (head, column) {
      if (!head.classList.contains(kind)) return;
      boxes[column].checked = false;
      choose(column, false);
    });
  });
  table.parentElement.before(choice);

  body.addEventListener("click", function (event) {
    var row = event.target.closest("tr");
    if (row.parentElement !== body || row.className === "runs" || event.target.closest("summary")) return;
    var details = row.querySelector("details");
    details.open = !details.open;
  });

  function open() {
    var target = /^#cell-\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (target) target.querySelector("details").open = true;
  }
  addEventListener("hashchange", open);
  open();
})();
