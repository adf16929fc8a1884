// The time line. Only rows in sight are drawn.
const lines = byId('lines')
const ROW = 20
const AXIS = 58
const LANE = 9
const HEIGHTS = [4, 7, 10, 7, 3]
const longest = new Set([...all].sort((a, b) => lengthOf(b) - lengthOf(a)).slice(0, 15))
const again = new Set(jobs.earlier.map(run => run[0]))
const filters = {
  all: () => true,
  critical: job => critical.has(job),
  late: isLate,
  failed: job => bad.has(job) || stopped.has(job),
  notable: job => critical.has(job) || bad.has(job) || stopped.has(job) || longest.has(job) || again.has(job)
}
const opening = new Set()
let filter = all.length <= 60 ? 'all' : data.run ? 'notable' : 'critical'
let rows = []
let tops = []
let stretch = 1
let onPaper = false

const orders = {
  start: (a, b) => startOf(a) - startOf(b) || lengthOf(b) - lengthOf(a),
  length: (a, b) => lengthOf(b) - lengthOf(a),
  late: (a, b) => delay(b) - delay(a),
  name: (a, b) => jobs.name[a] < jobs.name[b] ? -1 : 1
}
function lanesOf(job) {
  let most = -1
  for (let drv = firstOf(job); drv < jobs.ends[job]; drv++) most = max(most, drvs.slots?.[drv] ?? -1)
  return most + 1
}
function layRows() {
  rows = all.filter(job => filters[filter](job) || job === chosen)
  rows.sort(orders[byId('by').value])
  let y = 0
  tops = []
  for (const job of rows) {
    tops.push(y)
    y += ROW + (drvs && opening.has(job) ? lanesOf(job) * LANE + 8 : 0)
  }
  tops.push(y)
  byId('canvas').style.height = y + AXIS + 12 + 'px'
  byId('rows').textContent = amount(rows.length)
  press('rows', filter)
  drawAxis()
  drawRows()
}
const boxWidth = () => onPaper ? 1000 : lines.clientWidth
const labelWidth = () => boxWidth() < 560 ? 118 : 210
const barsWidth = () => max(120, boxWidth() - labelWidth() - 6) * stretch
const scale = () => (barsWidth() - 64) / wholeTime
const tickEvery = perSecond => [1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800].find(seconds => seconds * perSecond > 74) ?? 86400
// Jobs at once over time, as steps.
function load(list) {
  const events = []
  for (const span of list) if (span && span.start !== null) events.push([span.start, 1], [span.end, -1])
  events.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  let now = 0
  return events.map(([time, change]) => [time, now += change])
}
const loads = { measured: load(measured), predicted: load(predicted) }
const peak = max(1, ...[...loads.measured, ...loads.predicted].map(step => step[1]))
function drawAxis() {
  const axis = byId('axis')
  const left = labelWidth()
  const width = left + barsWidth()
  const perSecond = scale()
  lines.style.setProperty('--lab', left + 'px')
  byId('canvas').style.width = width + 'px'
  axis.setAttribute('width', width)
  axis.setAttribute('height', AXIS - 2)
  const parts = []
  for (const [steps, kind] of [[loads.measured, 'many'], [loads.predicted, data.run ? 'few' : 'many']]) {
    if (steps.length) parts.push(svg('path', { class: kind, d: 'M' + left + ' 34' + steps.map(([time, count]) => 'H' + (left + time * perSecond).toFixed(1) + 'V' + (34 - count / peak * 30).toFixed(1)).join('') + 'V34' }))
  }
  parts.push(svg('text', { x: 6, y: 16, class: 'dim' }, 'jobs at once'), svg('text', { x: 6, y: 31 }, 'up to ' + peak + (data.limit ? ' of ' + data.limit : '')))
  const every = tickEvery(perSecond)
  for (let time = 0; time <= wholeTime; time += every) parts.push(svg('text', { x: left + time * perSecond + 2, y: 51, class: 'dim' }, brief(time)))
  axis.replaceChildren(...parts)
}
function drawRows() {
  let first = 0
  let last = rows.length
  if (!onPaper) {
    const top = lines.scrollTop - AXIS - 100
    const bottom = lines.scrollTop + lines.clientHeight + 100
    while (first < rows.length && tops[first + 1] < top) first++
    last = first
    while (last < rows.length && tops[last] < bottom) last++
  }
  const left = labelWidth()
  const perSecond = scale()
  const offset = tops[first] ?? 0
  const height = (tops[last] ?? 0) - offset
  const bars = byId('bars')
  bars.setAttribute('width', left + barsWidth())
  bars.setAttribute('height', max(1, height + 2))
  bars.style.top = AXIS + offset + 'px'
  const parts = []
  const labels = []
  const upright = (time, kind) => parts.push(svg('line', { x1: left + time * perSecond, x2: left + time * perSecond, y1: 0, y2: height, class: kind }))
  const every = tickEvery(perSecond)
  for (let time = 0; time <= wholeTime; time += every) upright(time, 'tick')
  for (let row = first; row < last; row++) {
    const job = rows[row]
    const y = tops[row] - offset
    if (job === chosen) parts.push(svg('rect', { class: 'chosen', y, width: left + barsWidth(), height: ROW }))
    parts.push(drawJob(job, y, left, perSecond))
    if (drvs && opening.has(job)) parts.push(...drawDerivations(job, y + ROW + 2, left, perSecond))
    const label = html('span', { 'data-job': job, title: jobs.name[job], class: (critical.has(job) ? 'on' : '') + marks(job) + (job === chosen ? ' chosen' : '') }, (critical.has(job) ? '◆ ' : '') + jobs.name[job])
    label.style.top = tops[row] + 'px'
    labels.push(label)
  }
  if (data.run) upright(endOf(measured), 'last')
  upright(endOf(predicted), 'due')
  bars.replaceChildren(...parts)
  byId('labels').replaceChildren(...labels)
}
function drawJob(job, y, left, perSecond) {
  const group = svg('g', { 'data-job': job })
  const bar = (kind, start, length, top, height) => group.append(svg('rect', { class: kind, x: left + start * perSecond, y: y + top, width: max(.7, length * perSecond), height }))
  const phases = (span, base) => {
    let time = span.start
    span.phases.forEach((length, phase) => {
      if (length) bar(phase === 2 && bad.has(job) ? 'pf' : 'p' + phase, time, length, base - HEIGHTS[phase], HEIGHTS[phase])
      time += length ?? 0
    })
  }
  const was = measured[job]
  const due = predicted[job]
  group.append(svg('title', {}, sentence(job)))
  if (due && due.start !== null) {
    if (data.run) bar('pp', due.start, due.length, 2, 4)
    else phases(due, 16)
  }
  for (const [of, start, length] of jobs.earlier) if (of === job && start !== null) bar('pe', start, length, 9, 8)
  if (was) {
    if (was.waited > 1) bar('pw', was.start - was.waited, was.waited, 9, 7)
    phases(was, 17)
  }
  if (critical.has(job) && startOf(job) !== Infinity) bar('pi', startOf(job), lengthOf(job), 18, 2)
  const x = left + max(was?.end ?? 0, due?.end ?? 0) * perSecond + 5
  if (bad.has(job)) group.append(svg('text', { x, y: y + 15, class: 'bad' }, '✕ ' + jobs.state[job]))
  else if (stopped.has(job)) group.append(svg('text', { x, y: y + 15, class: 'dim' }, was ? '' : jobs.state[job].split(':')[0]))
  else if (isLate(job)) group.append(svg('text', { x, y: y + 15, class: 'dim' }, '+' + duration(delay(job))))
  return group
}
// Builds of one job, in the slots that they had.
const outcomeClass = { b: 'p2', c: 'p0', t: 'p3', f: 'pf', p: 'p1', n: 'pg', u: 'pg' }
function drawDerivations(job, y, left, perSecond) {
  const base = measured[job] ? measured[job].start + (measured[job].phases[0] ?? 0) : null
  const parts = []
  if (base === null) return parts
  for (let drv = firstOf(job); drv < jobs.ends[job]; drv++) {
    const begun = drvs.begun?.[drv]
    const seconds = drvs.seconds?.[drv]
    const slot = drvs.slots?.[drv]
    if (begun === undefined || begun === null || seconds === null || slot === null) continue
    const x = left + (base + begun) * perSecond
    const bar = svg('rect', { 'data-drv': drv, class: outcomeClass[drvs.outcomes[drv]], x, y: y + slot * LANE, width: max(.8, seconds * perSecond - .4), height: LANE - 1 })
    bar.append(svg('title', {}, drvs.names[drv] + ': ' + duration(seconds)))
    parts.push(bar)
    if (seconds * perSecond > 70 && 'bf'.includes(drvs.outcomes[drv])) parts.push(svg('text', { class: 'in', x: x + 3, y: y + slot * LANE + 7.2 }, cut(drvs.names[drv], floor(seconds * perSecond / 5.4))))
  }
  return parts
}
async function toggle(job) {
  await derivations()
  if (!opening.delete(job)) opening.add(job)
  layRows()
}
let frame = 0
lines.addEventListener('scroll', () => { frame ||= requestAnimationFrame(() => { frame = 0; drawRows() }) }, { passive: true })
lines.addEventListener('click', event => { const hit = event.target.closest('[data-job]'); if (hit) choose(+hit.dataset.job, 'lines') })
lines.addEventListener('dblclick', event => { const hit = event.target.closest('[data-job]'); if (hit) toggle(+hit.dataset.job) })
lines.addEventListener('keydown', event => {
  const at = rows.indexOf(chosen)
  const next = { ArrowDown: at + 1, ArrowUp: max(0, at - 1), Home: 0, End: rows.length - 1 }[event.key]
  if (next !== undefined && rows.length) {
    event.preventDefault()
    choose(rows[min(next, rows.length - 1)], 'lines')
  } else if (event.key === 'Enter' && chosen !== null) {
    event.preventDefault()
    toggle(chosen)
  }
})
for (const item of buttons('rows')) item.addEventListener('click', () => { filter = item.dataset.rows; lines.scrollTop = 0; layRows() })
byId('by').addEventListener('change', layRows)
onClick('wider', () => { stretch = min(32, stretch * 2); layRows() })
onClick('narrower', () => { stretch = max(1, stretch / 2); layRows() })
