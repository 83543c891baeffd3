/** Pictures of pages have few colours: as PNG with a palette of 256 they take a third of the bytes. */
import { crc32, deflateSync, inflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const COLORS_MAX = 256
/** A colour that is as far from gray as this weighs twice as much. */
const GRAY = 8
const TRUE_COLOR = 2
const WITH_ALPHA = 6
const INDEXED = 3

interface Pixels {
  width: number
  height: number
  /** Red, green and blue of each pixel, by rows. */
  rgb: Uint8Array
}

/** The same picture with the colours only that matter most in it; what has another one takes the nearest of them. */
export function toSmallPng(png: Buffer): Buffer {
  const { width, height, rgb } = decode(png)
  const palette = paletteOf(rgb)
  const indexes = new Map<number, number>()
  const rows = Buffer.alloc((width + 1) * height)
  for (let pixel = 0; pixel < width * height; pixel++) {
    const color = colorAt(rgb, pixel)
    const index = indexes.get(color) ?? nearest(palette, color)
    indexes.set(color, index)
    rows[Math.floor(pixel / width) * (width + 1) + 1 + (pixel % width)] = index
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, INDEXED], 8)
  const colors = Buffer.from(palette.flatMap(color => [color >> 16, (color >> 8) & 255, color & 255]))
  const data = deflateSync(rows, { level: 9 })
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', colors),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

const colorAt = (rgb: Uint8Array, pixel: number): number =>
  ((rgb[3 * pixel] ?? 0) << 16) | ((rgb[3 * pixel + 1] ?? 0) << 8) | (rgb[3 * pixel + 2] ?? 0)

function paletteOf(rgb: Uint8Array): number[] {
  const counts = new Map<number, number>()
  for (let pixel = 0; pixel < rgb.length / 3; pixel++) {
    const color = colorAt(rgb, pixel)
    counts.set(color, (counts.get(color) ?? 0) + 1)
  }
  const weights = Array.from(counts, ([color, count]) => ({ color, weight: count * (1 + chromaOf(color) / GRAY) }))
  const heavy = weights.toSorted((one, other) => other.weight - one.weight)
  return heavy.slice(0, COLORS_MAX).map(({ color }) => color)
}

/** How far a colour is from gray: a spot of a legend must keep its own among all the grays of letters. */
function chromaOf(color: number): number {
  const parts = [color >> 16, (color >> 8) & 255, color & 255]
  return Math.max(...parts) - Math.min(...parts)
}

function nearest(palette: readonly number[], color: number): number {
  const distance = (other: number) =>
    [16, 8, 0].reduce((sum, shift) => sum + (((other >> shift) & 255) - ((color >> shift) & 255)) ** 2, 0)
  let best = 0
  for (let index = 1; index < palette.length; index++)
    if (distance(palette[index] ?? 0) < distance(palette[best] ?? 0)) best = index
  return best
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const ends = Buffer.alloc(8)
  ends.writeUInt32BE(data.length, 0)
  ends.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)])
}

/** Of eight bits a colour and without interlacing, as browsers write them. Throws for others. */
function decode(png: Buffer): Pixels {
  const parts: Buffer[] = []
  let header: Buffer = Buffer.alloc(0)
  for (let at = SIGNATURE.length; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const type = png.toString('latin1', at + 4, at + 8)
    const data = png.subarray(at + 8, at + 8 + png.readUInt32BE(at))
    if (type === 'IHDR') header = data
    if (type === 'IDAT') parts.push(data)
  }
  const [depth, kind = 0] = header.subarray(8)
  const bytes = kind === TRUE_COLOR ? 3 : 4
  if (depth !== 8 || (kind !== TRUE_COLOR && kind !== WITH_ALPHA))
    throw new Error(`a PNG of kind ${kind}, ${depth} bits`)
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)]
  const raw = unfilter(inflateSync(Buffer.concat(parts)), width * bytes, bytes)
  const rgb = new Uint8Array(3 * width * height)
  for (let pixel = 0; pixel < width * height; pixel++)
    rgb.set(raw.subarray(pixel * bytes, pixel * bytes + 3), 3 * pixel)
  return { width, height, rgb }
}

/** Each row says how it was told from what is left of it and above it (RFC 2083, section 6). */
function unfilter(data: Buffer, rowBytes: number, pixelBytes: number): Buffer {
  const height = data.length / (rowBytes + 1)
  const raw = Buffer.alloc(rowBytes * height)
  for (let row = 0; row < height; row++) {
    const filter = data[row * (rowBytes + 1)]
    for (let at = 0; at < rowBytes; at++) {
      const here = row * rowBytes + at
      const left = at < pixelBytes ? 0 : (raw[here - pixelBytes] ?? 0)
      const above = row === 0 ? 0 : (raw[here - rowBytes] ?? 0)
      const corner = row === 0 || at < pixelBytes ? 0 : (raw[here - rowBytes - pixelBytes] ?? 0)
      raw[here] = (data[row * (rowBytes + 1) + 1 + at] ?? 0) + guessOf(filter, left, above, corner)
    }
  }
  return raw
}

function guessOf(filter: number | undefined, left: number, above: number, corner: number): number {
  if (filter === 0) return 0
  if (filter === 1) return left
  if (filter === 2) return above
  return filter === 3 ? (left + above) >> 1 : paeth(left, above, corner)
}

/** Of the three that which is nearest to left + above - corner. */
function paeth(left: number, above: number, corner: number): number {
  const guess = left + above - corner
  const [toLeft, toAbove, toCorner] = [left, above, corner].map(value => Math.abs(guess - value)) as [
    number,
    number,
    number,
  ]
  if (toLeft <= toAbove && toLeft <= toCorner) return left
  return toAbove <= toCorner ? above : corner
}
