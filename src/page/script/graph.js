// The graph. Layers and orders come with the data; here they become pixels for the jobs that are shown.
const plot = byId('plot')
const picture = byId('picture')
const BOX = 160
const COLUMN = 204
const LINE = 26
const MARGIN = 14
// Surroundings of a job grow as long as they stay below so many jobs.
const AROUND = 90
let view = data.critical.length && bad.size ? 'failed' : all.length <= 60 ? 'whole' : 'critical'
let zoom = 1
let place = null
let shown = new Set()

function reach(from, next, steps = Infinity) {
  const found = new Set(from)
  let edge = [...found]
  for (let step = 0; step < steps && edge.length; step++) {
    const further = []
    for (const job of edge) for (const other of next[job]) if (!found.has(other)) { found.add(other); further.push(other) }
    edge = further
  }
  return found
}
// Rows nearest to the wishes that keep the order and a distance of one: neighbours that are too near share their mean.
function spread(list, wish, y) {
  const blocks = []
  list.forEach((job, at) => {
    let total = wish(job) - at
    let size = 1
    while (blocks.length && blocks.at(-1)[0] * size >= total * blocks.at(-1)[1]) {
      const [otherTotal, otherSize] = blocks.pop()
      total += otherTotal
      size += otherSize
    }
    blocks.push([total, size])
  })
  let at = 0
  for (const [total, size] of blocks) for (let k = 0; k < size; k++, at++) y[list[at]] = total / size + at
}
function locate(set) {
  const layers = new Map()
  for (const job of [...set].sort((a, b) => jobs.layer[a] - jobs.layer[b] || jobs.order[a] - jobs.order[b])) {
    if (!layers.has(jobs.layer[job])) layers.set(jobs.layer[job], [])
    layers.get(jobs.layer[job]).push(job)
  }
  const columns = [...layers.values()]
  const x = new Float64Array(all.length)
  const y = new Float64Array(all.length)
  const near = new Map()
  columns.forEach((list, column) => list.forEach((job, row) => {
    x[job] = column * COLUMN
    y[job] = row - list.length / 2
    near.set(job, [...before[job], ...after[job]].filter(other => set.has(other)))
  }))
  const wish = job => near.get(job).length ? sum(near.get(job).map(other => y[other])) / near.get(job).length : y[job]
  for (let sweep = 0; sweep < 10; sweep++) for (const list of sweep % 2 ? [...columns].reverse() : columns) spread(list, wish, y)
  let top = Infinity
  let bottom = 0
  for (const job of set) top = min(top, y[job])
  for (const job of set) bottom = max(bottom, y[job] = round((y[job] - top) * LINE))
  return { x, y, width: max(0, columns.length - 1) * COLUMN + BOX + MARGIN * 2, height: bottom + 22 + MARGIN * 2 }
}
function around(job) {
  const wanted = +byId('steps').value
  let steps = wanted
  if (!wanted) for (steps of [Infinity, 4, 3, 2, 1]) if (reach([job], before, steps).size + reach([job], after, steps).size <= AROUND) break
  return new Set([...reach([job], before, steps), ...reach([job], after, steps)])
}
function selection() {
  if (view === 'whole') return new Set(all)
  if (view === 'critical') return new Set(data.critical)
  if (view === 'focus') return around(chosen)
  const failed = [...bad]
  const behind = reach(failed, after)
  return new Set([...failed, ...failed.flatMap(job => before[job]), ...jobs.stopped.filter(job => behind.has(job))])
}
function drawGraph(fits = true) {
  const focus = view === 'focus' ? chosen : null
  shown = selection()
  place = locate(shown)
  const above = focus === null ? new Set() : reach([focus], before)
  const below = focus === null ? new Set() : reach([focus], after)
  const follows = new Map(data.critical.map((job, at) => [job, data.critical[at - 1]]))
  const edges = { e: '', dn: '', up: '', ch: '' }
  const nodes = []
  let most = 0
  for (const job of shown) most = max(most, lengthOf(job))
  for (const job of shown) {
    for (const from of before[job]) if (shown.has(from)) {
      const kind = follows.get(job) === from ? 'ch' : above.has(job) && above.has(from) ? 'up' : below.has(job) && below.has(from) ? 'dn' : 'e'
      const [x1, y1] = [place.x[from] + BOX + MARGIN, place.y[from] + MARGIN + 11]
      const [x2, y2] = [place.x[job] + MARGIN, place.y[job] + MARGIN + 11]
      const middle = (x1 + x2) / 2
      edges[kind] += 'M' + x1 + ' ' + y1 + 'C' + middle + ' ' + y1 + ' ' + middle + ' ' + y2 + ' ' + x2 + ' ' + y2
    }
    const time = spans[job] ? brief(lengthOf(job)) : ''
    const node = svg('g', { 'data-job': job, class: 'node' + (critical.has(job) ? ' on' : '') + marks(job) + (job === chosen ? ' chosen' : ''), transform: 'translate(' + (place.x[job] + MARGIN) + ' ' + (place.y[job] + MARGIN) + ')' })
    node.append(
      svg('title', {}, sentence(job)),
      svg('rect', { class: 'o', width: BOX, height: 21, rx: 3 }),
      svg('rect', { class: bad.has(job) ? 'pf' : 'p2', x: 1, y: 18, width: most ? max(1, (BOX - 2) * lengthOf(job) / most) : 1, height: 2.5 }),
      svg('text', { x: 6, y: 14.5 }, cut((bad.has(job) ? '✕ ' : '') + jobs.name[job], floor((BOX - 16 - time.length * 7) / 7))),
      svg('text', { x: BOX - 5, y: 14.5, class: 'dim', 'text-anchor': 'end' }, time))
    nodes.push(node)
  }
  const paths = Object.entries(edges).filter(edge => edge[1]).map(([kind, d]) => svg('path', { class: kind, d }))
  picture.setAttribute('viewBox', '0 0 ' + place.width + ' ' + place.height)
  picture.replaceChildren(...paths, ...nodes)
  if (fits) zoom = max(.06, min(1, max(plot.clientWidth / place.width, min(innerHeight * .6 / place.height, .7))))
  resize()
  byId('drawn').textContent = amount(shown.size) + (focus === null ? '' : ': ' + jobs.name[focus] + ' needs ' + (above.size - 1) + ' jobs, ' + (below.size - 1) + ' need it')
  press('view', view)
  if (focus !== null && fits) centre(focus)
}
function resize() {
  picture.setAttribute('width', place.width * zoom)
  picture.setAttribute('height', place.height * zoom)
  picture.setAttribute('class', zoom < .5 ? 'far' : '')
  plot.style.height = min(place.height * zoom + 20, innerHeight * .64) + 'px'
}
function centre(job) {
  plot.scrollLeft = (place.x[job] + BOX / 2) * zoom - plot.clientWidth / 2
  plot.scrollTop = (place.y[job] + 20) * zoom - plot.clientHeight / 2
}
// The point under the pointer stays where it is.
function zoomBy(factor, x = plot.clientWidth / 2, y = plot.clientHeight / 2) {
  const [left, top] = [(plot.scrollLeft + x) / zoom, (plot.scrollTop + y) / zoom]
  zoom = max(.05, min(3, zoom * factor))
  resize()
  plot.scrollLeft = left * zoom - x
  plot.scrollTop = top * zoom - y
}
onClick('in', () => zoomBy(1.4))
onClick('out', () => zoomBy(1 / 1.4))
onClick('fit', () => { zoom = min(1, plot.clientWidth / place.width, innerHeight * .6 / place.height); resize() })
plot.addEventListener('wheel', event => {
  if (!event.ctrlKey && !event.metaKey) return
  event.preventDefault()
  const box = plot.getBoundingClientRect()
  zoomBy(Math.exp(-event.deltaY / 250), event.clientX - box.left, event.clientY - box.top)
}, { passive: false })
let drag = null
plot.addEventListener('pointerdown', event => {
  if (event.pointerType === 'mouse' && event.button === 0) drag = { x: event.clientX + plot.scrollLeft, y: event.clientY + plot.scrollTop, moved: false }
})
addEventListener('pointermove', event => {
  if (!drag) return
  const [left, top] = [drag.x - event.clientX, drag.y - event.clientY]
  drag.moved ||= Math.abs(left - plot.scrollLeft) + Math.abs(top - plot.scrollTop) > 4
  if (!drag.moved) return
  plot.classList.add('drag')
  plot.scrollLeft = left
  plot.scrollTop = top
})
addEventListener('pointerup', () => setTimeout(() => { drag = null; plot.classList.remove('drag') }))
plot.addEventListener('click', event => { const hit = event.target.closest('[data-job]'); if (hit && !drag?.moved) choose(+hit.dataset.job, 'plot') })
function neighbour(key) {
  if (key === 'ArrowLeft' || key === 'ArrowRight') {
    const near = (key === 'ArrowLeft' ? before : after)[chosen].filter(job => shown.has(job))
    return near.sort((a, b) => lengthOf(b) - lengthOf(a))[0]
  }
  const layer = [...shown].filter(job => jobs.layer[job] === jobs.layer[chosen]).sort((a, b) => jobs.order[a] - jobs.order[b])
  return layer[layer.indexOf(chosen) + (key === 'ArrowUp' ? -1 : 1)]
}
plot.addEventListener('keydown', event => {
  if (event.key === '+' || event.key === '=') zoomBy(1.4)
  else if (event.key === '-') zoomBy(1 / 1.4)
  else if (chosen === null) return
  else if (event.key === 'Enter') show('focus')
  else if (event.altKey && event.key.startsWith('Arrow')) {
    event.preventDefault()
    const next = neighbour(event.key)
    if (next !== undefined) choose(next, 'plot')
  }
})
function show(next) {
  if (next === 'focus' && chosen === null) {
    say('choose a job first')
    byId('find').focus()
    return
  }
  view = next
  drawGraph()
}
for (const item of buttons('view')) item.addEventListener('click', () => show(item.dataset.view))
byId('steps').addEventListener('change', () => show('focus'))
