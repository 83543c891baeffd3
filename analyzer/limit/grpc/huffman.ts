/**
 * The Huffman code of HPACK, RFC 7541 appendix B. It is canonical: codes count up within a length, in the order of the
 * symbols, so that the lengths say all.
 */

/** Bits of the code of each byte, and of the end of a string. */
const BITS = [
  [13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28],
  [28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15],
  [6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22],
  [20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23],
  [23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22],
  [22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26],
  [27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27],
  [26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30],
].flat()
const END = 256
const BYTE_BITS = 8
/** What fills the last byte: the beginning of the end's code, which is all ones. */
const PADDING_BITS_MAX = 7

/** Pairs of what follows a 0 and a 1: the place of a pair, or −1 − symbol. */
const TREE = treeOf(BITS)

function treeOf(bits: readonly number[]): Int16Array {
  const tree = new Int16Array(2 * bits.length)
  let pairs = 1
  const insert = (symbol: number, code: number, length: number) => {
    let at = 0
    for (let bit = length - 1; bit > 0; bit -= 1) {
      const branch = at + ((code >>> bit) & 1)
      if (tree[branch] === 0) {
        tree[branch] = 2 * pairs
        pairs += 1
      }
      at = tree[branch] ?? 0
    }
    tree[at + (code & 1)] = -1 - symbol
  }
  let code = 0
  let last = 0
  const order = bits.map((length, symbol) => ({ length, symbol }))
  for (const { length, symbol } of order.toSorted((one, other) => one.length - other.length)) {
    code <<= length - last
    last = length
    insert(symbol, code, length)
    code += 1
  }
  return tree
}

/** The text of these bytes, each symbol a character; `null` when they are no such code. */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number): string | null {
  const symbols: number[] = []
  let at = 0
  let pending = 0
  let isPadding = true
  for (let index = from; index < to; index += 1) {
    const byte = bytes[index] ?? 0
    for (let shift = BYTE_BITS - 1; shift >= 0; shift -= 1) {
      const bit = (byte >>> shift) & 1
      const next = TREE[at + bit] ?? 0
      pending += 1
      isPadding &&= bit === 1
      if (next >= 0) {
        at = next
        continue
      }
      if (next === -1 - END) return null
      symbols.push(-1 - next)
      at = 0
      pending = 0
      isPadding = true
    }
  }
  if (pending > PADDING_BITS_MAX || !isPadding) return null
  return textOf(symbols)
}

/** So many characters at once stay on the stack. */
const PIECE = 4096

function textOf(symbols: readonly number[]): string {
  let text = ''
  for (let at = 0; at < symbols.length; at += PIECE) text += String.fromCharCode(...symbols.slice(at, at + PIECE))
  return text
}
