'use strict'
// What the page knows, and how it is written. Text from outside only ever becomes text or the value of an attribute.
const opened = performance.now()
const { min, max, floor, ceil, round } = Math
const byId = id => document.getElementById(id)
const data = JSON.parse(byId('data').textContent)
const jobs = data.jobs
const all = [...jobs.id.keys()]
const before = jobs.requires
const after = all.map(() => [])
for (const job of all) for (const needed of before[job]) after[needed].push(job)
const critical = new Set(data.critical)
const bad = new Set(jobs.bad)
const stopped = new Set(jobs.stopped)
const phaseNames = ['start-up', 'restore', 'build', 'hand-off']

const sum = list => list.reduce((total, value) => total + (value ?? 0), 0)
// Columns become { start, waited, phases, length, end }; start and end are null where they are not known.
function spanOf(columns, hasWait) {
  if (!columns) return null
  const phases = columns.slice(hasWait ? 2 : 1)
  const start = columns[0]
  const length = sum(phases)
  return { start, waited: hasWait ? columns[1] : null, phases, length, end: start === null ? null : start + length }
}
const predicted = jobs.predicted.map(columns => spanOf(columns, false))
const measured = jobs.measured.map(columns => spanOf(columns, true))
const spans = all.map(job => measured[job] ?? predicted[job])
const lengthOf = job => spans[job]?.length ?? 0
const startOf = job => spans[job]?.start ?? Infinity
const delay = job => measured[job] && predicted[job] ? measured[job].length - predicted[job].length : 0
const isLate = job => delay(job) > max(60, (predicted[job]?.length ?? 0) / 4)
const endOf = list => list.reduce((end, span) => max(end, span?.end ?? 0), 0)
const wholeTime = max(endOf(measured), endOf(predicted), ...jobs.earlier.map(run => (run[1] ?? 0) + run[2])) || 1

function duration(seconds) {
  if (seconds === null || seconds === undefined) return 'unknown'
  // As in_words in src/duration.rs.
  const millis = round(seconds * 1000)
  const tenths = ceil(millis / 100)
  const whole = ceil(millis / 1000)
  const minutes = floor(whole / 60)
  const two = number => ' ' + String(number % 60).padStart(2, '0')
  const text = tenths < 100 ? tenths / 10 + ' s' : whole < 60 ? whole + ' s' : whole < 3600 ? minutes + ' min' + two(whole) + ' s' : floor(minutes / 60) + ' h' + two(minutes) + ' min'
  return text.replaceAll(' ', '\u00a0')
}
const brief = seconds => duration(seconds).replace(/\u00a0/g, '').replace('min', 'm')
function cut(text, most) {
  const letters = Array.from(text)
  return letters.length > most ? letters.slice(0, max(0, most - 1)).join('') + '…' : text
}
function sentence(job) {
  const parts = [jobs.state[job]]
  if (measured[job]) parts.push(duration(measured[job].length))
  if (predicted[job]) parts.push('predicted ' + duration(predicted[job].length))
  if (critical.has(job)) parts.push('on the critical path')
  return jobs.name[job] + ': ' + parts.join(', ')
}
const amount = some => (some === all.length ? 'all ' : some + ' of ') + all.length + ' jobs'
const low = text => text.toLowerCase()
const say = text => { byId('said').textContent = text }
const marks = job => bad.has(job) ? ' failed' : stopped.has(job) ? ' stopped' : ''

function svg(tag, given, text) {
  const item = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const name in given) item.setAttribute(name, given[name])
  if (text !== undefined) item.textContent = text
  return item
}
function html(tag, given, ...children) {
  const item = document.createElement(tag)
  for (const name in given) item.setAttribute(name, given[name])
  item.append(...children.filter(child => child !== null))
  return item
}
function button(text, action) {
  const item = html('button', { type: 'button' }, text)
  item.addEventListener('click', action)
  return item
}
const onClick = (id, action) => byId(id).addEventListener('click', action)
const linkTo = job => html('a', { class: 'n', href: '#job=' + encodeURIComponent(jobs.id[job]) }, jobs.name[job])
// Buttons of which one is pressed.
const buttons = attribute => document.querySelectorAll('[data-' + attribute + ']')
const press = (attribute, value) => {
  for (const item of buttons(attribute)) item.setAttribute('aria-pressed', item.dataset[attribute] === value)
}

// Derivations are unpacked when somebody first asks for one.
let packed = null
let drvs = null
function derivations() {
  packed ??= (async () => {
    const bytes = Uint8Array.from(atob(byId('packed').textContent), letter => letter.charCodeAt(0))
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'))
    const found = await new Response(stream).json()
    found.names = found.names.split('\n')
    found.targets = found.targets.map(text => text ? text.split('\n') : [])
    return drvs = found
  })()
  return packed
}
const firstOf = job => job ? jobs.ends[job - 1] : 0
const sizeOf = job => jobs.ends[job] - firstOf(job)
let chosen = null
