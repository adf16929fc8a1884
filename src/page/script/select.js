// One chosen job for time line, graph, panel and address.
function choose(job, from) {
  chosen = job
  say(sentence(job))
  layRows()
  const top = tops[rows.indexOf(job)]
  if (from !== 'lines' || top < lines.scrollTop || top > lines.scrollTop + lines.clientHeight - 90) lines.scrollTop = max(0, top - lines.clientHeight / 2)
  if (from === 'found') show('focus')
  else {
    drawGraph(false)
    if (shown.has(job) && from !== 'plot') centre(job)
  }
  history.replaceState(null, '', '#job=' + encodeURIComponent(jobs.id[job]))
  fillPanel(job)
}
const MOST_LISTED = 24
function listed(list, entry) {
  const items = list.slice(0, MOST_LISTED).map(value => html('li', {}, entry(value)))
  if (list.length > MOST_LISTED) items.push(html('li', { class: 'dim' }, 'and ' + (list.length - MOST_LISTED) + ' more'))
  return html('ul', { class: 'chips' }, ...items)
}
function fillPanel(job) {
  const row = (name, due, was) => html('tr', {}, html('th', { scope: 'row' }, name), html('td', { class: 'r' }, duration(due)), data.run ? html('td', { class: 'r' }, duration(was)) : null)
  const head = html('tr', {}, html('th', { scope: 'col' }, 'phase'), html('th', { scope: 'col', class: 'r' }, 'predicted'), data.run ? html('th', { scope: 'col', class: 'r' }, 'measured') : null)
  const phases = phaseNames.map((name, phase) => row(name, predicted[job]?.phases[phase], measured[job]?.phases[phase]))
  const times = html('table', {}, html('thead', {}, head), html('tbody', {}, ...phases, row('together', predicted[job]?.length, measured[job]?.length)))
  const targets = html('div', {})
  const builds = html('div', {})
  derivations().then(found => {
    targets.append(html('b', {}, 'Targets (' + jobs.targets[job] + ')'), listed(found.targets[job], target => html('bdi', {}, target)))
    const time = drv => found.seconds?.[drv] ?? found.estimates?.[drv] ?? null
    const list = Array.from({ length: sizeOf(job) }, (_, at) => firstOf(job) + at).sort((a, b) => (time(b) ?? -1) - (time(a) ?? -1))
    builds.append(html('b', {}, 'Derivations (' + list.length + '), longest first'), listed(list, drv => html('bdi', {}, found.names[drv] + (time(drv) === null ? '' : ' ' + duration(time(drv))))))
  })
  const near = (title, list) => html('div', {}, html('b', {}, title + ' (' + list.length + ')'), listed(list, linkTo))
  const facts = [jobs.state[job], jobs.system[job], jobs.machine[job] ?? 'any machine', ...(critical.has(job) ? ['◆ critical path'] : [])]
  byId('job').replaceChildren(
    html('h3', {}, html('bdi', {}, jobs.name[job]), html('small', {}, ' ' + facts.join(' · '))),
    html('div', { class: 'cols' }, html('div', {}, times), targets, near('Needs', before[job]), near('Needed by', after[job]), builds),
    html('p', { class: 'tools' }, data.run ? button('Derivations in the time line', () => toggle(job)) : null, button('Draw what is around it', () => { show('focus'); byId('graph').scrollIntoView() })))
}
