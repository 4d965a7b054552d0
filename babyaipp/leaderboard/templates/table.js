"use strict";
(() => {
  const tools = document.getElementById("tools");
  if (!tools) return;
  const filter = document.getElementById("filter"), ranked = document.getElementById("ranked");
  const boards = [...document.querySelectorAll("table.board")];
  const opposite = { ascending: "descending", descending: "ascending" };

  function key(row, column) {
    const { value, text } = row.cells[column].dataset;
    if (value === undefined) return text;
    return value === "" ? null : Number(value);
  }

  // What is missing comes last, whichever way the column is sorted; equals stay as they were.
  function sort(board, column, order) {
    const sign = order === "ascending" ? 1 : -1;
    const body = board.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    rows.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * (typeof one === "string" ? one.localeCompare(other, "en") : one - other);
    });
    body.append(...rows.map(([, row]) => row));
  }

  for (const board of boards) {
    const heads = [...board.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", column === 0 ? "ascending" : "none");
      button.addEventListener("click", () => {
        const order = opposite[head.getAttribute("aria-sort")] || head.dataset.first || "descending";
        heads.forEach((each) => each.setAttribute("aria-sort", each === head ? order : "none"));
        sort(board, column, order);
      });
    });
  }

  function choose() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, all = 0;
    for (const board of boards) {
      for (const row of board.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = (ranked.checked && row.dataset.ranked !== "yes") || !words.every((word) => text.includes(word));
        all += 1;
        shown += !row.hidden;
      }
    }
    document.getElementById("count").textContent = shown === all ? "" : `${shown} of ${all} entries`;
  }

  filter.addEventListener("input", choose);
  ranked.addEventListener("change", choose);
  tools.hidden = false;
  choose();
})();
