/** A list of any length of which only what is seen is asked for and drawn. */
import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { html } from './html.ts'

/** Rows above and below what is seen. */
const SPARE_ROWS = 12

/** How far the newest list was scrolled, and its address, for whoever comes back to it. */
let left = { address: '', top: 0 }

export interface Seen {
  offset: number
  limit: number
}

export interface VirtualListProps {
  label: string
  total: number
  rowHeight: number
  /** The row at an index of the list; called for what is seen and a little more. */
  row: (index: number) => ComponentChildren
  /** Told what to ask for, in steps of whole pages. */
  onSeen: (seen: Seen) => void
  pageRows: number
  header: ComponentChildren
}

export function VirtualList({ label, total, rowHeight, row, onSeen, pageRows, header }: VirtualListProps) {
  // A scroll may be told when the address is another one already.
  const address = location.hash
  const box = useRef<HTMLDivElement>(null)
  const [range, setRange] = useState({ first: 0, last: SPARE_ROWS * 3 })
  const measure = () => {
    const element = box.current
    if (element === null) return
    left = { address, top: element.scrollTop }
    const first = Math.max(0, Math.floor(element.scrollTop / rowHeight) - SPARE_ROWS)
    const last = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + SPARE_ROWS
    setRange(known => (known.first === first && known.last === last ? known : { first, last }))
  }
  useLayoutEffect(() => box.current?.scrollTo(0, left.address === address ? left.top : 0), [])
  // What is seen changes with the length and height of the rows.
  useEffect(() => {
    measure()
    addEventListener('resize', measure)
    return () => removeEventListener('resize', measure)
  }, [rowHeight, total])
  const first = Math.min(range.first, Math.max(0, total - 1))
  const offset = Math.floor(first / pageRows) * pageRows
  const limit = Math.ceil((range.last - offset) / pageRows) * pageRows
  // Only another part is news.
  useEffect(() => onSeen({ offset, limit }), [offset, limit])
  const rows = []
  for (let index = first; index < Math.min(range.last, total); index++) rows.push(row(index))
  return html`<div class="list" role="table" aria-label=${label} aria-rowcount=${total + 1}>
    <div role="rowgroup" class="list-head">${header}</div>
    <div ref=${box} role="rowgroup" class="list-body" tabindex="0" aria-label=${label} onScroll=${measure}>
      <div class="list-space" role="presentation" style=${{ height: `${total * rowHeight}px` }}>
        <div role="presentation" style=${{ transform: `translateY(${first * rowHeight}px)` }}>${rows}</div>
      </div>
    </div>
  </div>`
}
