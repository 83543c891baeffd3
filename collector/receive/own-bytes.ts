/** A copy in memory of its own, for what is held for long: Node cuts small ones out of 64 KiB, which each of them holds whole. */
export function ownBytes(bytes: Uint8Array): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  own.set(bytes)
  return own
}
