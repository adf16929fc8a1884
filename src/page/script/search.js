// Search in jobs and targets, and in derivations from the second letter on.
const field = byId('find')
const list = byId('found')
const lowerNames = jobs.name.map(low)
let hits = []
let marked = 0
async function search() {
  const text = low(field.value.trim())
  const found = all.filter(job => text && lowerNames[job].includes(text)).slice(0, 8).map(job => [job, jobs.name[job], 'job'])
  if (text.length > 1) {
    await derivations()
    if (low(field.value.trim()) !== text) return
    const seen = new Set(found.map(hit => hit[0]))
    for (const job of all) {
      if (found.length >= 12) break
      const target = seen.has(job) ? undefined : drvs.targets[job].find(name => low(name).includes(text))
      if (target !== undefined) found.push([job, target, 'target in ' + jobs.name[job]])
    }
    let job = 0
    for (let drv = 0; drv < drvs.names.length && found.length < 14; drv++) {
      while (drv >= jobs.ends[job]) job++
      if (low(drvs.names[drv]).includes(text)) found.push([job, drvs.names[drv], 'derivation in ' + jobs.name[job]])
    }
  }
  hits = found
  marked = 0
  list.hidden = !text
  field.setAttribute('aria-expanded', String(!list.hidden))
  list.replaceChildren(...hits.map(([job, name, kind], at) => {
    const item = html('li', { role: 'option', id: 'hit' + at }, html('bdi', {}, name), html('small', {}, kind))
    item.addEventListener('click', () => take(at))
    return item
  }))
  if (!hits.length) list.append(html('li', {}, 'nothing found'))
  mark()
}
function mark() {
  ;[...list.children].forEach((item, at) => item.setAttribute('aria-selected', String(at === marked && hits.length > 0)))
  if (hits.length) field.setAttribute('aria-activedescendant', 'hit' + marked)
  else field.removeAttribute('aria-activedescendant')
}
function close() {
  list.hidden = true
  field.setAttribute('aria-expanded', 'false')
}
function take(at) {
  if (!hits[at]) return
  close()
  choose(hits[at][0], 'found')
  byId('graph').scrollIntoView()
}
field.addEventListener('input', search)
field.addEventListener('blur', () => setTimeout(close, 200))
field.addEventListener('keydown', event => {
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    event.preventDefault()
    marked = max(0, min(hits.length - 1, marked + (event.key === 'ArrowDown' ? 1 : -1)))
    mark()
  } else if (event.key === 'Enter') take(marked)
  else if (event.key === 'Escape') { field.value = ''; close() }
})
addEventListener('keydown', event => {
  if (event.key !== '/' || /INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) return
  event.preventDefault()
  field.focus()
})
