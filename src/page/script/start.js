// The first drawing, and the address.
function follow() {
  const wanted = /^#job=(.+)$/.exec(location.hash)
  if (!wanted) return
  let id
  try { id = decodeURIComponent(wanted[1]) } catch { return }
  const job = jobs.id.indexOf(id)
  if (job < 0) return
  choose(job, 'found')
  byId('timeline').scrollIntoView()
}
function drawAll() {
  layRows()
  drawGraph()
}
document.documentElement.classList.add('js')
drawAll()
performance.measure('drawn', { start: opened })
addEventListener('hashchange', follow)
follow()
let lastWidth = innerWidth
addEventListener('resize', () => {
  if (innerWidth === lastWidth) return
  lastWidth = innerWidth
  drawAll()
})
for (const [event, paper] of [['beforeprint', true], ['afterprint', false]]) {
  addEventListener(event, () => { onPaper = paper; if (paper) stretch = 1; layRows() })
}
