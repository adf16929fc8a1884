// Tables sort by a click on a head. The table of all jobs is made when it is opened.
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells]
  heads.forEach((head, column) => {
    const value = row => {
      const cell = row.cells[column]
      return 'v' in cell.dataset ? +cell.dataset.v : low(cell.textContent)
    }
    head.replaceChildren(button(head.textContent, () => {
      const rises = head.getAttribute('aria-sort') === 'descending'
      heads.forEach(other => other.removeAttribute('aria-sort'))
      head.setAttribute('aria-sort', rises ? 'ascending' : 'descending')
      const keyed = [...table.tBodies[0].rows].map(row => [value(row), row])
      keyed.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * (rises ? 1 : -1))
      table.tBodies[0].append(...keyed.map(pair => pair[1]))
    }))
  })
}
document.querySelectorAll('table.sort').forEach(sortable)
byId('jobs').addEventListener('toggle', () => {
  const details = byId('jobs')
  if (!details.open || details.querySelector('table')) return
  const time = seconds => html('td', { class: 'r', 'data-v': seconds ?? -1 }, duration(seconds))
  const count = number => html('td', { class: 'r', 'data-v': number }, String(number))
  const heads = ['job', 'state', 'starts', ...(data.run ? ['waited', 'measured'] : []), 'predicted', 'derivations', 'targets']
  const body = all.map(job => html('tr', {},
    html('td', {}, linkTo(job)), html('td', { class: bad.has(job) ? 'bad' : '' }, jobs.state[job]), time(spans[job]?.start ?? null),
    data.run ? time(measured[job]?.waited ?? null) : null, data.run ? time(measured[job]?.length ?? null) : null, time(predicted[job]?.length ?? null),
    count(sizeOf(job)), count(jobs.targets[job])))
  const table = html('table', { class: 'sort' }, html('thead', {}, html('tr', {}, ...heads.map(text => html('th', { scope: 'col' }, text)))), html('tbody', {}, ...body))
  sortable(table)
  details.append(html('div', { class: 'scroll' }, table))
})
